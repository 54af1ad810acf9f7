//! Corrections by hand: grants that no task promised, rewards taken back, progress changed.

mod grants;
pub mod progress;

use super::{ActionContext, Decision, Earning, Rejection, decide_tasks, streak};
use crate::action::Action;
use crate::catalogue::Catalogue;
use crate::ids::TaskId;
use crate::user_tasks::correction::{Change, Correction};
use crate::user_tasks::event::Event;
use crate::user_tasks::state::UserTasks;

/// Returns the events of a correction, with those of the tasks that count what it completes. None
/// if the same grant by hand was made before.
pub(super) fn correct(
    state: &UserTasks,
    correction: &Correction,
    catalogue: &Catalogue,
) -> Result<Decision, Rejection> {
    use progress::Progress;
    let (task, period, change) = match &correction.change {
        Change::Grant { line, payout } => {
            let events = grants::grant(state, correction, line, payout);
            return Ok(Decision { events, unmoved: vec![] });
        }
        Change::Revoke { grant, whole_milestone } => {
            let events = grants::revoke(state, correction, *grant, *whole_milestone)?;
            return Ok(Decision { events, unmoved: vec![] });
        }
        Change::Restore { task, period } => {
            return with_dependants(state, correction, task, catalogue, |context, author| {
                streak::restore(context, (task, period), author, catalogue)
            });
        }
        Change::Adjust { task, period, adjustment } => {
            (task, period, Progress::Adjust(*adjustment))
        }
        Change::Complete { task, period } => (task, period, Progress::Complete),
        Change::Reset { task, period } => (task, period, Progress::Reset),
    };
    with_dependants(state, correction, task, catalogue, |context, author| {
        progress::correct(context, (task, period.as_ref(), change), author, catalogue)
    })
}

/// Returns the events of a correction of a task, with those of the tasks that depend on it.
fn with_dependants(
    state: &UserTasks,
    correction: &Correction,
    task: &TaskId,
    catalogue: &Catalogue,
    correct: impl FnOnce(&ActionContext<'_>, progress::Author<'_>) -> Result<Vec<Event>, Rejection>,
) -> Result<Decision, Rejection> {
    let Correction { user, by, reason, at, seed, .. } = correction;
    let stand_in = Action::stand_in(user, "plaudit.corrected", *at);
    let mut context = ActionContext::new(state, &stand_in, *seed, Earning::Granted);
    let events = correct(&context, progress::Author { by: Some(by), reason })?;
    let completed = events.iter().any(|event| matches!(event, Event::TaskCompleted { .. }));
    let mut decision = Decision { events, unmoved: vec![] };
    if completed {
        context.completed_now.insert(task.clone());
        let dependants = catalogue.dependants(task).iter().copied().collect();
        decide_tasks(context, &mut decision, &[], dependants, catalogue);
    }
    Ok(decision)
}
