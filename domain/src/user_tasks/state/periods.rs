//! The periods that a task's state holds: those that an action can still reach, and those that a
//! screen shows.

use jiff::{SignedDuration, Timestamp};

use super::{ClosedPeriod, PeriodState, TaskState};
use crate::calendar::Period;

/// Distance of the watermark from the start of the newest period at which the period before it is
/// forgotten.
///
/// A producer's clock may be ahead of the reader's. For the reader the period before has then not
/// ended, and is the one that a screen shows. The value is the default of `future_tolerance`, the
/// time by which an action may be ahead. Like the other bounds of a state it decides only how much
/// is remembered: an action for a closed period is too late either way.
const PREVIOUS_HELD_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Limit on the periods of a task that an action can still reach or that withhold something: 400
/// by `lateness`, 100 by a backfill, and some that changes of zone cut. All of them are read and
/// written with every action. Beyond it, nothing opens a further one.
pub(crate) const OPEN_PERIODS_MAX: usize = 512;

impl TaskState {
    /// True if an action at this time can't open a further period.
    pub(crate) fn holds_all_it_can(&self, at: Timestamp) -> bool {
        let watermark = self.watermark.map_or(at, |watermark| watermark.max(at));
        let stays =
            |p: &&PeriodState| p.withheld || p.closes_at().is_none_or(|end| watermark < end);
        self.periods.len() >= OPEN_PERIODS_MAX
            && self.periods.iter().filter(stays).count() >= OPEN_PERIODS_MAX
    }

    /// Returns the state of a period. Opens the period if it is new.
    pub(crate) fn open_period(&mut self, period: &Period) -> &mut PeriodState {
        let found = self.periods.iter().position(|p| p.period.key == period.key);
        let index = found.unwrap_or_else(|| {
            let index = self.periods.partition_point(|p| p.period.starts_at < period.starts_at);
            self.periods.insert(index, PeriodState::opened(period.clone()));
            index
        });
        &mut self.periods[index]
    }

    /// Forgets periods that no action can reach any more, except the newest: a screen shows it.
    pub(crate) fn forget_closed_periods(&mut self) {
        let Some(watermark) = self.watermark else { return };
        let last = self.periods.len().saturating_sub(1);
        let holds_previous = self.holds_previous(watermark);
        let mut index = 0;
        self.periods.retain(|p| {
            let keep = index == last
                || (index + 1 == last && holds_previous)
                || p.withheld
                || p.closes_at().is_none_or(|end| watermark < end);
            index += 1;
            if let (false, Some(ends_at)) = (keep, p.period.ends_at)
                && self.closed.as_ref().is_none_or(|closed| closed.ends_at < ends_at)
            {
                let (key, surplus) = (p.period.key.clone(), p.surplus);
                self.closed = Some(ClosedPeriod { key, ends_at, surplus });
            }
            keep
        });
    }

    /// True if a reader's clock may still be in the period before the newest one.
    fn holds_previous(&self, watermark: Timestamp) -> bool {
        let newest_from = self.periods.last().and_then(|p| p.period.starts_at);
        newest_from.is_some_and(|from| watermark.duration_since(from) < PREVIOUS_HELD_FOR)
    }
}

impl PeriodState {
    /// Returns a period in which nothing was counted.
    fn opened(period: Period) -> Self {
        Self {
            period,
            closes_at: None,
            version: 0,
            progress: 0,
            completed: false,
            carried: 0,
            surplus: 0,
            seen: None,
            withheld: false,
            held: false,
            withheld_progress: None,
            withheld_step: None,
            reached: Vec::new(),
        }
    }
}
