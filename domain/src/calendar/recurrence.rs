//! Cadences of tasks, and the algorithm that divides time by each of them.

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::cron::Cron;
use super::dates::{Dates, Unit};
use super::{DayStart, Period, PeriodKey};

/// The cadence at which a task starts over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cadence {
    /// Never: one period, `once`, for all time.
    Once,
    /// Every calendar day, `2026-03-29`.
    Day,
    /// Every ISO 8601 week from Monday, `2026-W13`.
    Week,
    /// Every calendar month, `2026-03`.
    Month,
    /// At every tick of a schedule. The key is the instant in UTC: `2026-03-29T04:00:00Z`.
    Cron(Cron),
}

impl Cadence {
    /// The length of the shortest period in seconds, without changes of clocks; `None` for a period
    /// without end. Ticks of a schedule count as if every day had them.
    pub fn shortest_period_seconds(self) -> Option<i64> {
        const DAY: i64 = 86_400;
        match self {
            Self::Once => None,
            Self::Day => Some(DAY),
            Self::Week => Some(7 * DAY),
            Self::Month => Some(28 * DAY),
            Self::Cron(cron) => Some(60 * cron.minutes_between_ticks_min()),
        }
    }
}

/// The rule that divides time into a task's periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// The cadence at which the task starts over.
    pub cadence: Cadence,
    /// The local time at which a day begins. Ignored by cron, whose ticks have times of their own.
    pub day_start: DayStart,
}

/// The three algorithms behind the cadences.
enum Recurrence {
    Never,
    Dates(Dates),
    Ticks(Cron),
}

impl Calendar {
    /// The period that contains `at`, with all days in one zone.
    pub fn period_at(self, at: Timestamp, zone: &TimeZone) -> Period {
        let at = in_range(at);
        match self.recurrence() {
            Recurrence::Never => Period::once(),
            Recurrence::Dates(dates) => dates.period_at(at, zone),
            Recurrence::Ticks(cron) => cron.period_at(at, zone),
        }
    }

    /// The period named `key`, in a zone; `None` if no period of this cadence has that key.
    pub fn period_named(self, key: &PeriodKey, zone: &TimeZone) -> Option<Period> {
        match self.recurrence() {
            Recurrence::Never => Some(Period::once()).filter(|once| once.key == *key),
            Recurrence::Dates(dates) => dates.period_named(key, zone),
            Recurrence::Ticks(cron) => cron.period_named(key, zone),
        }
    }

    /// Upper bound on two periods in a row, in days, including those that a change of zone made
    /// longer.
    pub(super) fn days_in_two_periods_max(self) -> i64 {
        match self.recurrence() {
            Recurrence::Never => 0,
            Recurrence::Dates(dates) => dates.days_in_two_periods_max(),
            Recurrence::Ticks(_) => Cron::DAYS_IN_TWO_PERIODS_MAX,
        }
    }

    fn recurrence(self) -> Recurrence {
        let dates = |unit| Recurrence::Dates(Dates { unit, day_start: self.day_start });
        match self.cadence {
            Cadence::Once => Recurrence::Never,
            Cadence::Day => dates(Unit::Day),
            Cadence::Week => dates(Unit::Week),
            Cadence::Month => dates(Unit::Month),
            Cadence::Cron(cron) => Recurrence::Ticks(cron),
        }
    }
}

/// Clamps an instant to the years that the calendar supports, 0001 to 9997.
pub(super) fn in_range(at: Timestamp) -> Timestamp {
    let bound = |year| {
        TimeZone::UTC
            .to_timestamp(Date::constant(year, 1, 1).to_datetime(Time::midnight()))
            .expect("in range")
    };
    at.clamp(bound(1), bound(9998))
}
