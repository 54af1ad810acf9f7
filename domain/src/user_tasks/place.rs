//! Finds the period and the version for an instant. The rules and the screen both use it, so that
//! they can't disagree.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::event::Event;
use super::state::{ClosedPeriod, PeriodState, TaskState};
use crate::calendar::{Cadence, Period, PeriodKey, Zones};
use crate::catalogue::{Amnesty, CatalogueTask, TaskVersion};
use crate::ids::TaskId;

/// A period, the version that applies to it, and its state so far.
#[derive(Clone)]
pub(crate) struct Place<'a> {
    /// The amnesties of the task.
    pub amnesties: &'a [Amnesty],
    pub version: &'a Arc<TaskVersion>,
    pub period: Period,
    /// The watermark from which on actions for this period are too late; `None`: never.
    pub closes_at: Option<Timestamp>,
    /// The state of the period; `None`: nothing was counted in it yet.
    pub open: Option<&'a PeriodState>,
    /// The amount carried over from the period before: part of the progress from the first action
    /// on.
    pub carried: i64,
    /// True if an amount beyond the target goes into the next period. False once the next period
    /// has counted something.
    pub carries_over: bool,
}

impl Place<'_> {
    /// True if the period is completed and counts nothing for the next one either.
    pub fn takes_no_more(&self) -> bool {
        self.open.is_some_and(|open| open.completed) && !self.carries_over
    }

    /// Returns the event of an action that is too late at this time; `None` if it is not.
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

/// Finds the period of `task` in which `at` lies, and the version that applies to it.
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
            // A key is given once, even if the boundaries have moved since. Between two periods
            // whose keys leave none for `at`, the period with the key lasts until `at` as well.
            let open = stored.iter().find(|p| p.period.key == fitted.key);
            (open.map_or(fitted.clone(), |open| joined(&open.period, &fitted)), open)
        },
        |open| (open.period.clone(), Some(open)),
    );
    let version = open.map_or(current, |open| applied_version(task, open));
    if version.definition.every == Cadence::Once {
        // The ends are those of the window, which may move, and no action is ever too late.
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
        // `at` lies between two periods whose keys leave none for it, after an update of the zone
        // that arrived late. The later of them was opened by an action after `at`, so this action
        // is too late.
        (Some(open), _) if !open.period.contains(at) => Some(at),
        (Some(open), _) => open.closes_at(),
        // Whatever this version would call the period, `at` lies in what was closed.
        (None, Some(closed)) if at < closed.ends_at && waits_until.is_none() => {
            Some(closed.ends_at)
        }
        // Again no key is left between two periods; the earlier of the two is closed by now.
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

/// Returns the period with the key of both, from the earlier beginning to the later end.
fn joined(one: &Period, other: &Period) -> Period {
    Period {
        key: one.key.clone(),
        // No beginning is before all others, and no end after them.
        starts_at: one.starts_at.min(other.starts_at),
        ends_at: one.ends_at.zip(other.ends_at).map(|(one, other)| one.max(other)),
    }
}

/// Returns the surplus of the period right before `period`; 0 if nothing was counted in that one.
fn surplus_before(period: &Period, stored: &[PeriodState], closed: Option<&ClosedPeriod>) -> i64 {
    let Some(start) = period.starts_at else { return 0 };
    let open = stored.iter().find(|p| p.period.ends_at == Some(start)).map(|p| p.surplus);
    let closed = closed.filter(|closed| closed.ends_at == start).map(|closed| closed.surplus);
    open.or(closed).unwrap_or(0)
}

/// Returns the version that an open period goes by. A completed period keeps its version.
fn applied_version<'a>(task: &'a CatalogueTask, open: &PeriodState) -> &'a Arc<TaskVersion> {
    if open.completed {
        return task.version(open.version).unwrap_or(task.current());
    }
    task.version_followed_from(open.version)
}

/// Fits the period that contains `at` between the known ones, none of which contains it. The bounds
/// of a known period stay: a boundary that moved since (another zone, another day start) gives way,
/// and no key is given twice.
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

/// Returns the period that contains `at`. If it comes right after the period that ended at `end`,
/// it begins there.
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

/// Ends a period where the later one begins, and gives it an earlier key than that one.
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

/// Returns the nearest earlier period with a smaller key. Right before the start of a period that
/// was cut lies the rest of the same period, hence two tries.
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
