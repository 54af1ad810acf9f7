//! Where an instant falls in a task: which period, under which version. The rules and the screen
//! both ask here, so that they can't disagree.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::state::{ClosedPeriod, PeriodState, TaskState};
use crate::calendar::{Cadence, Period, PeriodKey, Zones};
use crate::catalogue::{Amnesty, CatalogueTask, TaskVersion};
use crate::ids::TaskId;

/// A period, the version that judges what happens in it, and what was counted in it so far.
pub(crate) struct Place<'a> {
    /// The task's.
    pub amnesties: &'a [Amnesty],
    pub version: &'a Arc<TaskVersion>,
    pub period: Period,
    /// The watermark from which on actions for this period are too late; `None`: never.
    pub closes_at: Option<Timestamp>,
    /// `None`: nothing was counted in it yet.
    pub open: Option<&'a PeriodState>,
    /// What the period before carried over into it: part of its progress from the first action on.
    pub carried: i64,
    /// Whether what exceeds the target goes into the next period. That is settled once the next period
    /// has counted something.
    pub carries_over: bool,
}

impl Place<'_> {
    /// Whether the period is completed and counts nothing for the next one either.
    pub fn takes_no_more(&self) -> bool {
        self.open.is_some_and(|open| open.completed) && !self.carries_over
    }

    /// The fact that an action of this time is too late, if it is.
    pub fn too_late(
        &self,
        task: &TaskId,
        past: Option<&TaskState>,
        at: Timestamp,
    ) -> Option<Event> {
        let watermark = past?.watermark.filter(|watermark| Some(*watermark) >= self.closes_at)?;
        self.closes_at?;
        let (task, version, period) = (task.clone(), self.version.version, self.period.key.clone());
        Some(Event::ActionTooLate { task, version, period, watermark, at })
    }
}

/// Finds the period of `task` in which `at` lies, and the version that judges it.
pub(crate) fn place<'a>(
    task: &'a CatalogueTask,
    past: Option<&'a TaskState>,
    zones: &Zones,
    at: Timestamp,
) -> Place<'a> {
    let (current, amnesties) = (task.current(), &task.amnesties[..]);
    let closed = past.and_then(|past| past.closed.as_ref());
    let stored = past.map_or(&[][..], |past| &past.periods);
    let containing = past.and_then(|past| past.period_at(at));
    let (period, open) = containing.map_or_else(
        || {
            let fitted = fit(stored, closed, at, |at| current.period_at(at, zones));
            // A name is given once, whatever became of the boundaries.
            let open = stored.iter().find(|p| p.period.key == fitted.key);
            (open.map_or(fitted, |open| open.period.clone()), open)
        },
        |open| (open.period.clone(), Some(open)),
    );
    let version = open.map_or(current, |open| judging(task, open));
    if version.definition.every == Cadence::Once {
        // Its ends are those of the window, which may move, and it is never too late.
        let period = version.period_at(at, zones);
        let (carried, carries_over) = (0, false);
        return Place { amnesties, version, period, closes_at: None, open, carried, carries_over };
    }
    let lateness = SignedDuration::from_secs(current.definition.objective.lateness_seconds);
    let waits_until =
        current.past_periods().filter(|past| past.contain(&period)).map(|past| past.open_until);
    // A time beyond what a timestamp can hold is never reached.
    let fresh_close = || {
        let ends_at = period.ends_at?;
        let over = ends_at.checked_add(lateness).unwrap_or(Timestamp::MAX);
        Some(waits_until.map_or(over, |until| until.max(over)))
    };
    let closes_at = match (open, closed) {
        // It lies between two periods whose keys leave none for it, after an update of the zone that arrived
        // late. The later of them was opened by an action after `at`, so this one is too late.
        (Some(open), _) if !open.period.contains(at) => Some(at),
        (Some(open), _) => open.closes_at(),
        // Whatever this version would call it, it lies in what was closed.
        (None, Some(closed)) if at < closed.ends_at && waits_until.is_none() => {
            Some(closed.ends_at)
        }
        // As above; the earlier of the two is closed by now.
        (None, Some(closed)) if at >= closed.ends_at && !period.key.may_follow(&closed.key) => {
            Some(at)
        }
        (None, _) => fresh_close(),
    };
    let carries_over = version.definition.objective.carry_over;
    let carried = match open {
        Some(open) => open.carried,
        None if carries_over => surplus_before(&period, stored, closed),
        None => 0,
    };
    let next_is_open = stored.iter().any(|p| p.period.starts_at == period.ends_at);
    let carries_over = carries_over && !next_is_open;
    Place { amnesties, version, period, closes_at, open, carried, carries_over }
}

/// What the period right before `period` has left over. A period in which nothing was counted ends it.
fn surplus_before(period: &Period, stored: &[PeriodState], closed: Option<&ClosedPeriod>) -> i64 {
    let Some(start) = period.starts_at else { return 0 };
    let open = stored.iter().find(|p| p.period.ends_at == Some(start)).map(|p| p.surplus);
    let closed = closed.filter(|closed| closed.ends_at == start).map(|closed| closed.surplus);
    open.or(closed).unwrap_or(0)
}

/// The version that an open period goes by. What is completed stays as it was completed.
fn judging<'a>(task: &'a CatalogueTask, open: &PeriodState) -> &'a Arc<TaskVersion> {
    if open.completed {
        return task.version(open.version).unwrap_or(task.current());
    }
    task.version_followed_from(open.version)
}

/// Fits the period that contains `at` between those already known, none of which contains it.
/// What was fixed when a period opened stays, so a boundary that moved since (another zone, another
/// day start) gives way, and no name is given twice.
fn fit(
    stored: &[PeriodState],
    closed: Option<&ClosedPeriod>,
    at: Timestamp,
    period_at: impl Fn(Timestamp) -> Period,
) -> Period {
    let next = stored.partition_point(|p| p.period.starts_at.is_none_or(|start| start <= at));
    let opened = stored[..next].iter().filter_map(|p| Some((p.period.ends_at?, &p.period.key)));
    let closed = closed.map(|closed| (closed.ends_at, &closed.key));
    let earlier = opened.chain(closed).filter(|(end, _)| *end <= at).max_by_key(|(end, _)| *end);
    let mut period = match earlier {
        Some((end, key)) => fit_after(end, key, at, &period_at),
        None => period_at(at),
    };
    if let Some(later) = stored.get(next).map(|p| &p.period) {
        period = fit_before(later, period, &period_at);
        period.starts_at = period.starts_at.max(earlier.map(|(end, _)| end));
    }
    period
}

/// After a period that ended, the next one begins where it did.
pub(crate) fn fit_after(
    end: Timestamp,
    key: &PeriodKey,
    at: Timestamp,
    period_at: impl Fn(Timestamp) -> Period,
) -> Period {
    let period = period_at(at);
    if period.starts_at == Some(end) && period.key.may_follow(key) {
        return period;
    }
    let opening = Period::opening(end, key, period_at);
    if opening.ends_at.is_some_and(|end| at < end) { opening } else { period }
}

/// Before a period, the one in front of it ends where it begins, and is not called the same.
fn fit_before(
    later: &Period,
    mut period: Period,
    period_at: impl Fn(Timestamp) -> Period,
) -> Period {
    while !later.key.may_follow(&period.key) {
        let Some(before) = period_before(&period, &period_at) else { break };
        period = Period { ends_at: later.starts_at, ..before };
    }
    if period.ends_at.is_none_or(|end| later.starts_at.is_some_and(|start| start < end)) {
        period.ends_at = later.starts_at;
    }
    period
}

/// The period of an earlier name. Right before the start of a period that was cut lies the rest of itself.
fn period_before(period: &Period, period_at: impl Fn(Timestamp) -> Period) -> Option<Period> {
    let mut start = period.starts_at?;
    for _ in 0..2 {
        let before = period_at(start.checked_sub(SignedDuration::from_micros(1)).ok()?);
        if before.key < period.key {
            return Some(before);
        }
        start = before.starts_at?;
    }
    None
}
