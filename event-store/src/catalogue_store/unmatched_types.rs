//! Counts actions that no task listens to, by type.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Catalogue;

/// The maximum number of types counted by name. Producers may send any type, and each name creates
/// a time series that lasts for ever.
const TYPES_MAX: usize = 100;
/// The label for all further types.
const OTHERS: &str = "others";

/// The types counted by name so far.
#[derive(Debug, Default)]
pub struct UnmatchedTypes(Mutex<BTreeSet<String>>);

impl UnmatchedTypes {
    /// Counts an action if no task of the catalogue listens to its type.
    pub fn count(&self, action: &Action, catalogue: &Catalogue) {
        if action.is_plaudits_own() || catalogue.listens_to(&action.kind) {
            return;
        }
        let label = self.label(&action.kind).to_owned();
        metrics::counter!("plaudit_actions_unmatched_total", "type" => label).increment(1);
    }

    fn label<'k>(&self, kind: &'k str) -> &'k str {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.contains(kind) {
            return kind;
        }
        if named.len() >= TYPES_MAX {
            return OTHERS;
        }
        named.insert(kind.to_owned());
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_23_the_number_of_series_is_bounded() {
        let types = UnmatchedTypes::default();
        let kinds: Vec<String> = (0..TYPES_MAX + 5).map(|n| format!("t{n}")).collect();
        for (index, kind) in kinds.iter().enumerate() {
            let expected = if index < TYPES_MAX { kind } else { OTHERS };
            assert_eq!(types.label(kind), expected);
        }
        assert_eq!(types.label("t0"), "t0");
    }
}
