//! Periods of whole days: days, ISO 8601 weeks and months.

use jiff::civil::{Date, ISOWeekDate, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::zones::first_instant;
use super::{DayStart, Period, PeriodKey};

/// Periods that begin at the start of a day.
#[derive(Clone, Copy)]
pub(super) struct Dates {
    pub unit: Unit,
    pub day_start: DayStart,
}

#[derive(Clone, Copy)]
pub(super) enum Unit {
    Day,
    Week,
    Month,
}

impl Dates {
    /// The period that contains `at`, which must lie in the range of the calendar.
    pub fn period_at(self, at: Timestamp, zone: &TimeZone) -> Period {
        let mut first = self.unit.first_day(zone.to_datetime(at).date());
        // The local date is only a first guess: a day may begin later than midnight, and a local
        // time occurs twice in an overlap.
        while at < self.day_start_of(first, zone) {
            first = self.unit.first_day(first.yesterday().expect("in range"));
        }
        while at >= self.day_start_of(self.unit.following(first), zone) {
            first = self.unit.following(first);
        }
        self.period_from(first, zone)
    }

    /// The period named `key`; `None` if no period of this unit has that key.
    pub fn period_named(self, key: &PeriodKey, zone: &TimeZone) -> Option<Period> {
        let first = self.unit.first_day_of_key(key.as_str())?;
        let is_exact = (2..9998).contains(&first.year()) && self.unit.key_of(first) == *key;
        is_exact.then(|| self.period_from(first, zone))
    }

    /// Upper bound on two periods in a row, in days. After a change of zone a period may be as long
    /// as two, plus three days.
    pub fn days_in_two_periods_max(self) -> i64 {
        match self.unit {
            Unit::Day => 14,
            Unit::Week => 45,
            Unit::Month => 200,
        }
    }

    fn period_from(self, first: Date, zone: &TimeZone) -> Period {
        Period {
            key: self.unit.key_of(first),
            starts_at: Some(self.day_start_of(first, zone)),
            ends_at: Some(self.day_start_of(self.unit.following(first), zone)),
        }
    }

    fn day_start_of(self, day: Date, zone: &TimeZone) -> Timestamp {
        first_instant(day.to_datetime(self.day_start.0), zone)
    }
}

impl Unit {
    /// The first day of the period that contains `day`.
    fn first_day(self, day: Date) -> Date {
        match self {
            Self::Day => day,
            Self::Week => {
                let back = i64::from(day.weekday().to_monday_zero_offset());
                day.checked_sub(back.days()).expect("in range")
            }
            Self::Month => day.first_of_month(),
        }
    }

    /// The first day of the period after the one that begins with `first`.
    fn following(self, first: Date) -> Date {
        let length = match self {
            Self::Day => 1.day(),
            Self::Week => 7.days(),
            Self::Month => 1.month(),
        };
        first.checked_add(length).expect("in range")
    }

    fn key_of(self, first: Date) -> PeriodKey {
        PeriodKey(match self {
            Self::Day => format!("{:04}-{:02}-{:02}", first.year(), first.month(), first.day()),
            Self::Month => format!("{:04}-{:02}", first.year(), first.month()),
            Self::Week => {
                let week = first.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
        })
    }

    /// Parses a text that looks like a key into the first day of its period. The caller checks that
    /// the text is exactly the key.
    fn first_day_of_key(self, key: &str) -> Option<Date> {
        match self {
            Self::Day => Date::strptime("%Y-%m-%d", key).ok(),
            Self::Month => Date::strptime("%Y-%m-%d", format!("{key}-01")).ok(),
            Self::Week => {
                let (year, week) = key.split_once("-W")?;
                let (year, week) = (year.parse().ok()?, week.parse().ok()?);
                ISOWeekDate::new(year, week, Weekday::Monday).ok().map(ISOWeekDate::date)
            }
        }
    }
}
