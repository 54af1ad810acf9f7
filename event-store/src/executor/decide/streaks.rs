//! Streaks in a batch: the next time at which the sweeper looks at each.

use std::collections::BTreeSet;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::swept_at;

use super::Working;
use crate::streak_looks::StreakLook;

/// Returns the next looks at a user's streaks: those that the batch touched or checked; for a
/// refolded user, all of them. Nothing was checked of a user with a fault.
pub(super) fn looks(user: &UserId, working: &Working, catalogue: &Catalogue) -> Vec<StreakLook> {
    if working.loaded.fault.is_some() {
        return vec![];
    }
    let state = &working.loaded.state;
    let has_streaks = |task: &&TaskId| {
        let task = catalogue.task(task);
        task.is_some_and(|task| task.current().definition.kind.shape().counts_streaks)
    };
    let refolded = state.tasks.keys().filter(|_| working.loaded.refolded);
    let touched = working.touched.iter().chain(refolded).filter(has_streaks);
    // A checked streak gets a new time in any case, so that it is not due again at once.
    let tasks: BTreeSet<&TaskId> = touched.chain(&working.looked_at).collect();
    let look = |task: &TaskId| StreakLook {
        lane: working.lane,
        user: user.clone(),
        task: task.clone(),
        due_at: catalogue.task(task).and_then(|of| swept_at(state, of)),
    };
    tasks.into_iter().map(look).collect()
}
