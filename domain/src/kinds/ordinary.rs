//! Tasks that are done once in a user's life.

use jiff::Timestamp;

use super::{Shape, TaskKind, by_progress};
use crate::calendar::Zones;
use crate::catalogue::TaskVersion;
use crate::screen::Standing;
use crate::user_tasks::decide::ActionContext;
use crate::user_tasks::place::Place;
use crate::user_tasks::{Event, PeriodState, TaskState};

/// `ordinary`.
pub(super) struct Ordinary;

impl TaskKind for Ordinary {
    fn name(&self) -> &'static str {
        "ordinary"
    }

    fn shape(&self) -> Shape {
        Shape { starts_over: false, counts_streaks: false, carries_over: false }
    }

    fn reach(
        &self,
        context: &ActionContext<'_>,
        place: &Place<'_>,
        _past: Option<&TaskState>,
        progress: i64,
    ) -> Vec<Event> {
        by_progress::reach(context, place, progress)
    }

    fn release(
        &self,
        context: &ActionContext<'_>,
        version: &TaskVersion,
        open: &PeriodState,
    ) -> Vec<Event> {
        by_progress::release(context, version, open)
    }

    fn standing<'a>(
        &self,
        place: &Place<'a>,
        _past: Option<&'a TaskState>,
        _zones: &Zones,
        _now: Timestamp,
    ) -> Standing<'a> {
        Standing::of_period(place)
    }
}
