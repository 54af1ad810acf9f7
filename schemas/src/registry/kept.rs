//! Cache of schemas, by number.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::schema::Schema;

/// Maximum number of schemas that are kept. Beyond it, the least recently used one is removed.
const KEPT_MAX: usize = 1_000;
/// Time for which a refusal is kept. The registry may know an unknown number a moment later, for
/// example when its replicas differ.
const REFUSED_FOR: Duration = Duration::from_secs(10);
/// Age at which a fetch counts as lost: its runtime ended before it could report.
const FETCHING_MAX: Duration = Duration::from_secs(30);

/// Cache of schemas, fetches under way and refusals, by number.
#[derive(Default)]
pub struct Kept {
    entries: HashMap<u32, Entry>,
    uses: u64,
}

struct Entry {
    state: EntryState,
    /// Value of [`Kept::uses`] at the last use of this entry.
    used: u64,
}

enum EntryState {
    Fetching { since: Instant },
    Ready(Arc<Schema>),
    Refused { why: String, until: Instant },
}

/// The result of looking a schema up.
pub enum Lookup {
    Ready(Arc<Schema>),
    Refused(String),
    Fetching,
    Unknown,
}

impl Kept {
    pub fn look_up(&mut self, id: u32) -> Lookup {
        self.uses += 1;
        let Some(entry) = self.entries.get_mut(&id) else { return Lookup::Unknown };
        entry.used = self.uses;
        match &entry.state {
            EntryState::Ready(schema) => Lookup::Ready(Arc::clone(schema)),
            EntryState::Refused { why, until } if Instant::now() < *until => {
                Lookup::Refused(why.clone())
            }
            EntryState::Fetching { since } if since.elapsed() < FETCHING_MAX => Lookup::Fetching,
            _ => Lookup::Unknown,
        }
    }

    /// Marks a schema as being fetched.
    pub fn begin(&mut self, id: u32) {
        self.set(id, EntryState::Fetching { since: Instant::now() });
    }

    pub fn keep(&mut self, id: u32, schema: Arc<Schema>) {
        self.set(id, EntryState::Ready(schema));
    }

    pub fn refuse(&mut self, id: u32, why: String) {
        self.set(id, EntryState::Refused { why, until: Instant::now() + REFUSED_FOR });
    }

    pub fn forget(&mut self, id: u32) {
        self.entries.remove(&id);
    }

    fn set(&mut self, id: u32, state: EntryState) {
        self.uses += 1;
        if self.entries.len() >= KEPT_MAX && !self.entries.contains_key(&id) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(id, _)| *id);
            oldest.map(|id| self.entries.remove(&id));
        }
        self.entries.insert(id, Entry { state, used: self.uses });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_23_as_many_schemas_are_kept_as_allowed_and_the_unused_go_first() {
        let mut kept = Kept::default();
        for id in 0..1_000 {
            kept.refuse(id, format!("{id}"));
        }
        assert!(matches!(kept.look_up(0), Lookup::Refused(why) if why == "0"));
        kept.begin(1_000);
        assert_eq!(kept.entries.len(), KEPT_MAX);
        assert!(matches!(kept.look_up(0), Lookup::Refused(_)));
        assert!(matches!(kept.look_up(1), Lookup::Unknown));
        assert!(matches!(kept.look_up(1_000), Lookup::Fetching));
    }
}
