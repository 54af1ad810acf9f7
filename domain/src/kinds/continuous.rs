//! Tasks that count periods in a row. `user_tasks::decide::streak` decides about the streak.

use jiff::Timestamp;

use super::{Shape, TaskKind, by_progress};
use crate::calendar::Zones;
use crate::catalogue::{CatalogueTask, TaskVersion};
use crate::screen::Standing;
use crate::user_tasks::decide::{ActionContext, UnmovedReason, streak};
use crate::user_tasks::gap::StreakRules;
use crate::user_tasks::place::Place;
use crate::user_tasks::{Event, PeriodState, TaskState};

/// `continuous`.
pub(super) struct Continuous;

impl TaskKind for Continuous {
    fn name(&self) -> &'static str {
        "continuous"
    }

    fn shape(&self) -> Shape {
        Shape { starts_over: true, counts_streaks: true, carries_over: false }
    }

    fn act(
        &self,
        context: &ActionContext<'_>,
        task: &CatalogueTask,
        past: Option<&TaskState>,
        place: &Place<'_>,
    ) -> Option<Result<Vec<Event>, UnmovedReason>> {
        streak::other_than_step(context, task, past, place)
    }

    fn reach(
        &self,
        context: &ActionContext<'_>,
        place: &Place<'_>,
        past: Option<&TaskState>,
        progress: i64,
    ) -> Vec<Event> {
        if progress < place.version.definition.objective.target {
            return Vec::new();
        }
        streak::step(context, place, past)
    }

    fn release(
        &self,
        context: &ActionContext<'_>,
        version: &TaskVersion,
        open: &PeriodState,
    ) -> Vec<Event> {
        match open.withheld_step {
            Some(step) => streak::reach(context, version, &open.period, step),
            None => by_progress::release(context, version, open),
        }
    }

    fn settle(
        &self,
        place: &Place<'_>,
        past: Option<&TaskState>,
        zones: &Zones,
        as_of: Timestamp,
    ) -> Vec<Event> {
        streak::due(&StreakRules::new(place, past, zones), as_of)
    }

    fn settles_at(
        &self,
        place: &Place<'_>,
        past: Option<&TaskState>,
        zones: &Zones,
    ) -> Option<Timestamp> {
        StreakRules::new(place, past, zones).next_decision()
    }

    fn standing<'a>(
        &self,
        place: &Place<'a>,
        past: Option<&'a TaskState>,
        zones: &Zones,
        now: Timestamp,
    ) -> Standing<'a> {
        Standing::of_streak(&StreakRules::new(place, past, zones), &place.period, now)
    }
}
