//! Open periods that adopted a version whose target or milestones they already meet.
//!
//! A publication writes nothing to the users who are under way (decision 0007). If a version lowers
//! the target or adds a milestone, the completion or the milestone comes with the user's next
//! action that concerns the task. That action need not be credited: its `max` may be below the
//! highest value, its value counted before, or the cap used up.

use super::ActionContext;
use super::measure::Credit;
use super::progress::apply_credit;
use crate::catalogue::definition::WhileLocked;
use crate::catalogue::{CatalogueTask, Status};
use crate::user_tasks::event::Event;
use crate::user_tasks::place::place;
use crate::user_tasks::state::{PeriodState, TaskState};

/// True if an open period of the task may already meet a later version's target.
pub(super) fn may_finish(task: &CatalogueTask, past: Option<&TaskState>) -> bool {
    let newest = task.current().version;
    let is_behind = |open: &PeriodState| !open.completed && open.version < newest;
    newest > 1 && past.is_some_and(|past| past.periods.iter().any(is_behind))
}

/// Returns the events of a period that already meets the version it adopted: a credit of 0 and the
/// milestones it reaches. None if `so_far`, the events of this action, has one of the task itself.
pub(super) fn finish(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    so_far: &[Event],
) -> Vec<Event> {
    let past = context.state.tasks.get(&task.id);
    if task.status != Status::Active
        || !may_finish(task, past)
        || so_far.iter().any(|event| event.task() == Some(&task.id))
    {
        return vec![];
    }
    let at = context.action.occurred_at;
    let place = place(task, past, &context.state.zones, at);
    let version = place.version;
    let definition = &version.definition;
    let Some(open) = place.open.filter(|open| !open.completed && open.version < version.version)
    else {
        return vec![];
    };
    let unlocked = context.locked_by(&definition.requires).is_empty();
    if !context.is_in_audience(version)
        || !definition.window.contains(at)
        || place.too_late(&task.id, past, at).is_some()
        || (!unlocked && definition.while_locked == WhileLocked::Skip)
    {
        return vec![];
    }
    let credit = Credit::of_nothing(&place);
    let reaches =
        || !definition.kind.rules().reach(context, &place, past, credit.progress).is_empty();
    // Withheld milestones are released later, with all that the progress reaches then.
    if credit.progress < definition.objective.target && (open.withheld || !reaches()) {
        return vec![];
    }
    apply_credit(context, task, past, &place, credit, unlocked)
}
