//! Streaks in a batch: when the sweeper looks at each again.

use std::collections::BTreeSet;

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::swept_at;

use super::Working;
use crate::streak_looks::StreakLook;

/// The next looks at the streaks of a user that the batch touched or looked at. A user who was folded from the log has
/// all of them set again.
pub(super) fn looks(user: &UserId, working: &Working, catalogue: &Catalogue) -> Vec<StreakLook> {
    let state = &working.loaded.state;
    let has_streaks = |task: &&TaskId| {
        let task = catalogue.task(task);
        task.is_some_and(|task| task.current().definition.kind.shape().counts_streaks)
    };
    let refolded = state.tasks.keys().filter(|_| working.loaded.refolded);
    let touched = working.touched.iter().chain(refolded).filter(has_streaks);
    // What was looked at is set in any case, so that it does not come up again at once.
    let tasks: BTreeSet<&TaskId> = touched.chain(&working.looked_at).collect();
    let look = |task: &TaskId| StreakLook {
        lane: working.lane,
        user: user.clone(),
        task: task.clone(),
        due_at: catalogue.task(task).and_then(|of| swept_at(state, of)),
    };
    tasks.into_iter().map(look).collect()
}
