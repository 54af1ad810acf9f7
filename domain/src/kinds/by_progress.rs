//! Milestones by the progress of a period, for ordinary and periodic tasks.

use crate::catalogue::TaskVersion;
use crate::user_tasks::decide::{ActionContext, progress};
use crate::user_tasks::place::Place;
use crate::user_tasks::{Event, PeriodState};

/// The milestones that the period's progress reaches, including those that it withheld.
pub(super) fn reach(context: &ActionContext<'_>, place: &Place<'_>, progress: i64) -> Vec<Event> {
    let open = place.open;
    let passed = open.filter(|open| open.withheld).map_or(0, PeriodState::passed).max(progress);
    let reached = open.map_or(&[][..], |open| &open.reached);
    progress::reach(context, place.version, &place.period, passed, reached)
}

/// The milestones that a period withheld.
pub(super) fn release(
    context: &ActionContext<'_>,
    version: &TaskVersion,
    open: &PeriodState,
) -> Vec<Event> {
    progress::reach(context, version, &open.period, open.passed(), &open.reached)
}
