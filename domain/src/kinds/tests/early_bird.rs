//! A fourth kind: a periodic task whose milestones can only be reached in the first half of the period.

use jiff::Timestamp;

use crate::calendar::{Period, Zones};
use crate::kinds::{Shape, TaskKind, by_progress};
use crate::screen::Standing;
use crate::user_tasks::decide::ActionContext;
use crate::user_tasks::place::Place;
use crate::user_tasks::{Event, TaskState};

/// `early_bird`.
pub(in crate::kinds) struct EarlyBird;

impl TaskKind for EarlyBird {
    fn name(&self) -> &'static str {
        "early_bird"
    }

    fn shape(&self) -> Shape {
        Shape { starts_over: true, counts_streaks: false, carries_over: false }
    }

    fn reach(
        &self,
        context: &ActionContext<'_>,
        place: &Place<'_>,
        _past: Option<&TaskState>,
        progress: i64,
    ) -> Vec<Event> {
        if is_late(&place.period, context.action.occurred_at) {
            return Vec::new();
        }
        by_progress::reach(context, place, progress)
    }

    /// A period is finished only if its last milestone was reached in time, whatever its progress.
    fn standing<'a>(
        &self,
        place: &Place<'a>,
        _past: Option<&'a TaskState>,
        _zones: &Zones,
        _now: Timestamp,
    ) -> Standing<'a> {
        let standing = Standing::of_period(place);
        let last_at = place.version.definition.last_at();
        let finished = standing.reached.iter().any(|reached| reached.at == last_at);
        Standing { finished, ..standing }
    }
}

/// True if the first half of a period is over.
fn is_late(period: &Period, at: Timestamp) -> bool {
    let bounds = period.starts_at.zip(period.ends_at);
    bounds.is_some_and(|(start, end)| at.duration_since(start) * 2 >= end.duration_since(start))
}
