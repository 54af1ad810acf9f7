//! Positions from which the due deliveries of a lane are read.
//!
//! The index entries of deliveries that were sent stay as long as an old snapshot is open. Read from
//! its beginning each time, a lane would cost more with every reward sent since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::deliveries::Due;
use tokio::time::Instant;

/// Interval at which lanes are read from their beginning. A reward is queued behind the others of
/// its lane, except one whose event could not be read at first.
const READ_ALL_EVERY: Duration = Duration::from_secs(60);

/// The positions of all lanes that were read lately.
#[derive(Debug, Default)]
pub struct Begins {
    positions: BTreeMap<Lane, i64>,
    read_all_at: Option<Instant>,
}

impl Begins {
    /// Returns these lanes, each with the position to read from. Forgets all other lanes: another
    /// process may send from them now.
    pub fn of(&mut self, lanes: &[Lane], now: Instant) -> Vec<(Lane, i64)> {
        if self.read_all_at.is_none_or(|at| now.duration_since(at) >= READ_ALL_EVERY) {
            self.positions.clear();
            self.read_all_at = Some(now);
        }
        self.positions.retain(|lane, _| lanes.contains(lane));
        lanes.iter().map(|lane| (*lane, self.positions.get(lane).copied().unwrap_or(0))).collect()
    }

    /// Notes the first delivery of each lane that was read: nothing is due before it.
    pub fn note_read(&mut self, due: &[Due]) {
        let mut seen = BTreeSet::new();
        for due in due.iter().filter(|due| seen.insert(due.lane)) {
            self.positions.insert(due.lane, due.place.position);
        }
    }
}
