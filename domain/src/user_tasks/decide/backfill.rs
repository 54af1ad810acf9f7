//! Past actions, which a new task counts by reading the topics again, and the release of the
//! rewards that its backfill holds back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{ActionContext, Decision, Earning, decide_tasks, evolve};
use crate::action::Action;
use crate::catalogue::Catalogue;
use crate::user_tasks::command::{BackfillRelease, PastAction};
use crate::user_tasks::event::Event;
use crate::user_tasks::state::UserTasks;

/// Counts a past action for one task. The completion of this task has its usual effects on others;
/// the other tasks that subscribe to the action are left out, because they decided it before.
pub(super) fn count(state: &UserTasks, past: PastAction<'_>, catalogue: &Catalogue) -> Decision {
    let mut decision = Decision::default();
    if let Some(index) = catalogue.place_of(past.task) {
        let context = ActionContext::new(state, past.action, past.seed, Earning::Past(past));
        decide_tasks(context, &mut decision, &[index], BTreeSet::from([index]), catalogue);
    }
    decision
}

/// Releases the rewards that the backfill of a task holds back. No event follows if it holds none.
pub(super) fn release(
    state: &UserTasks,
    release: &BackfillRelease,
    catalogue: &Catalogue,
) -> Decision {
    let BackfillRelease { user, task, seed, by, reason, at } = release;
    let mut decision = Decision::default();
    let Some(index) = catalogue.place_of(task) else { return decision };
    let periods = state.tasks.get(task).map_or(&[][..], |past| &past.periods);
    let released =
        periods.iter().filter(|period| period.held).map(|held| Event::BackfillReleased {
            task: task.clone(),
            version: held.version,
            period: held.period.key.clone(),
            by: by.clone(),
            reason: reason.clone(),
            at: *at,
        });
    decision.events.extend(released);
    if decision.events.is_empty() {
        return decision;
    }
    let mut state = Cow::Borrowed(state);
    for event in &decision.events {
        evolve(state.to_mut(), event);
    }
    // Stands in for the action that unlocks a task: milestones are reached by it, at its time.
    let stand_in = Action::stand_in(user, "plaudit.backfill.released", *at);
    let context = ActionContext::new(&state, &stand_in, *seed, Earning::Granted);
    decide_tasks(context, &mut decision, &[], BTreeSet::from([index]), catalogue);
    decision
}
