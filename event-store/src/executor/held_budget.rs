//! The lanes that a held budget delays.

use std::collections::BTreeSet;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::lane::Lane;

use super::{Part, decide};
use crate::batch::Item;
use crate::error::ExecuteError;
use crate::lanes::Contention;

/// Builds the error for a held budget. It delays the lanes whose items may draw on a budget; if no
/// item is known to, all of them.
pub(super) fn budget_held(part: Part<'_>, catalogue: &Catalogue) -> ExecuteError {
    let draws = |item: &&Item| {
        !decide::Needed::by(std::slice::from_ref(*item), catalogue).budgets.is_empty()
    };
    let mut lanes: BTreeSet<Lane> = part.items.iter().filter(draws).map(|item| item.lane).collect();
    if lanes.is_empty() {
        lanes = part.lanes();
    }
    ExecuteError::LanesBusy(Contention::BudgetHeld(lanes))
}
