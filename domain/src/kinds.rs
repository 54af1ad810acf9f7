//! Kinds of task: ordinary, periodic, continuous.
//!
//! A kind is a module behind `TaskKind`, registered by its name in `REGISTERED`. The trait covers
//! what sets one kind apart from the others. Everything else (periods, windows, audiences, filters,
//! measures, versions, locks, rewards) is the same for all kinds and does not depend on them.
//! `docs/new-kind.md` walks through adding one.

mod by_progress;
mod continuous;
mod ordinary;
mod periodic;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::calendar::Zones;
use crate::catalogue::{CatalogueTask, TaskVersion};
use crate::screen::Standing;
use crate::user_tasks::decide::{ActionContext, UnmovedReason};
use crate::user_tasks::place::Place;
use crate::user_tasks::{Event, PeriodState, TaskState};

/// Every kind. A task file and a stored definition name one of them.
const REGISTERED: &[&dyn TaskKind] = &[
    &ordinary::Ordinary,
    &periodic::Periodic,
    &continuous::Continuous,
    #[cfg(test)]
    &tests::early_bird::EarlyBird,
];

/// The parts of a definition that are not the same for all kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// True if the task has periods (`every`); false if it is done once.
    pub starts_over: bool,
    /// True if the task has rules of a streak and its milestones are lengths of streak; false if
    /// they are amounts of progress.
    pub counts_streaks: bool,
    /// True if progress beyond the target may be carried over into the next period (`carry_over`).
    pub carries_over: bool,
}

/// The rules of a kind. Like all rules they are pure functions: no clock, no chance, no I/O.
///
/// A kind whose milestones are amounts of progress in a period needs no more than a name and a shape.
pub(crate) trait TaskKind: Sync {
    /// The kind's name in task files and stored definitions. It never changes.
    fn name(&self) -> &'static str;

    /// The fields that a definition may have.
    fn shape(&self) -> Shape;

    /// Handles an action that is not counted, such as a make-up; `None` if the action is to be
    /// counted.
    fn act(
        &self,
        _context: &ActionContext<'_>,
        _task: &CatalogueTask,
        _past: Option<&TaskState>,
        _place: &Place<'_>,
    ) -> Option<Result<Vec<Event>, UnmovedReason>> {
        None
    }

    /// Returns the events that a credited action leads to: milestones, steps, the completion.
    /// `progress` is that of the period, including the credit. While the task is locked, the caller
    /// withholds these events.
    fn reach(
        &self,
        context: &ActionContext<'_>,
        place: &Place<'_>,
        _past: Option<&TaskState>,
        progress: i64,
    ) -> Vec<Event> {
        by_progress::reach(context, place, progress)
    }

    /// Returns the events that a period withheld while the task was locked. Called once it is
    /// unlocked.
    fn release(
        &self,
        context: &ActionContext<'_>,
        version: &TaskVersion,
        open: &PeriodState,
    ) -> Vec<Event> {
        by_progress::release(context, version, open)
    }

    /// Returns the events that time alone brings about and that are not recorded yet, such as a
    /// broken streak.
    fn settle(
        &self,
        _place: &Place<'_>,
        _past: Option<&TaskState>,
        _zones: &Zones,
        _as_of: Timestamp,
    ) -> Vec<Event> {
        Vec::new()
    }

    /// Returns the time of the next event that [`Self::settle`] would return if the user did
    /// nothing more; `None` if there is none.
    fn settles_at(
        &self,
        _place: &Place<'_>,
        _past: Option<&TaskState>,
        _zones: &Zones,
    ) -> Option<Timestamp> {
        None
    }

    /// The user's progress as of now, whether or not it is recorded.
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

/// A registered kind of task.
#[derive(Clone, Copy)]
pub struct Kind(&'static dyn TaskKind);

impl Kind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        REGISTERED.iter().map(|kind| Self(*kind))
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// The kind's name in task files and stored definitions.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The fields that a definition may have.
    pub fn shape(self) -> Shape {
        self.0.shape()
    }

    /// The rules of the kind.
    pub(crate) fn rules(self) -> &'static dyn TaskKind {
        self.0
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Kind {}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let names = || Self::all().map(Self::name).collect::<Vec<_>>().join(", ");
        let unknown = || format!("unknown kind {name:?}; one of: {}", names());
        Self::named(&name).ok_or_else(|| serde::de::Error::custom(unknown()))
    }
}

#[cfg(test)]
mod tests;
