//! Corrections by hand: grants that no task promised, rewards taken back, progress changed.

mod grants;
pub mod progress;

use super::{ActionContext, Decision, Earning, Rejection, judge};
use crate::action::Action;
use crate::catalogue::Catalogue;
use crate::user_tasks::correction::{Change, Correction};
use crate::user_tasks::event::Event;
use crate::user_tasks::state::UserTasks;

/// The facts that follow from a correction, with those of the tasks that count what it completes. None if the
/// grant by hand was made before.
pub(super) fn correct(
    state: &UserTasks,
    correction: &Correction,
    catalogue: &Catalogue,
) -> Result<Decision, Rejection> {
    let events = match &correction.change {
        Change::Grant { line, payout } => grants::grant(state, correction, line, payout),
        Change::Revoke { grant, whole_milestone } => {
            grants::revoke(state, correction, *grant, *whole_milestone)?
        }
        Change::Adjust { task, period, adjustment } => {
            let change = progress::Progress::Adjust(*adjustment);
            return progress(state, correction, (task, period.as_ref(), change), catalogue);
        }
        Change::Complete { task, period } => {
            let change = progress::Progress::Complete;
            return progress(state, correction, (task, period.as_ref(), change), catalogue);
        }
        Change::Reset { task, period } => {
            let change = progress::Progress::Reset;
            return progress(state, correction, (task, period.as_ref(), change), catalogue);
        }
    };
    Ok(Decision { events, unmoved: vec![] })
}

fn progress(
    state: &UserTasks,
    correction: &Correction,
    wanted: progress::Wanted<'_>,
    catalogue: &Catalogue,
) -> Result<Decision, Rejection> {
    let Correction { user, by, reason, at, seed, .. } = correction;
    let stand_in = Action::stand_in(user, "plaudit.corrected", *at);
    let mut context = ActionContext::new(state, &stand_in, *seed, Earning::Granted);
    let author = progress::Author { by: Some(by), reason };
    let events = progress::correct(&context, wanted, author, catalogue)?;
    let completed = events.iter().any(|event| matches!(event, Event::TaskCompleted { .. }));
    let mut decision = Decision { events, unmoved: vec![] };
    if completed {
        let task = wanted.0;
        context.completed_now.insert(task.clone());
        let dependants = catalogue.dependants(task).iter().copied().collect();
        judge(context, &mut decision, &[], dependants, catalogue);
    }
    Ok(decision)
}
