//! Periods: which turn of a task an instant falls in, where it begins and ends, what it is called.
//!
//! Days are calendar days in a zone. A day of 23 or 25 hours is one day; where a day would begin in
//! a gap it begins at the first valid instant, in an overlap at the first occurrence.

mod zones;

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

pub use zones::{UnknownZone, Zones, zone};

/// How often a task starts over.
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
}

/// The local time at which days begin, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayStart(Time);

impl Default for DayStart {
    fn default() -> Self {
        Self(Time::midnight())
    }
}

impl TryFrom<String> for DayStart {
    type Error = InvalidDayStart;

    fn try_from(got: String) -> Result<Self, Self::Error> {
        let two_digits = |s: &&str| s.len() == 2 && s.bytes().all(|b| b.is_ascii_digit());
        let number = |s: &str| Some(s).filter(two_digits)?.parse::<i8>().ok();
        let time =
            got.split_once(':').and_then(|(h, m)| Time::new(number(h)?, number(m)?, 0, 0).ok());
        time.map(Self).ok_or(InvalidDayStart { got })
    }
}

impl From<DayStart> for String {
    fn from(DayStart(time): DayStart) -> Self {
        format!("{:02}:{:02}", time.hour(), time.minute())
    }
}

/// Why a text is not a [`DayStart`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the start of a day looks like \"05:00\", from 00:00 to 23:59, got {got:?}")]
pub struct InvalidDayStart {
    got: String,
}

/// The stored name of one turn of a task. Keys of one cadence sort in order of time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeriodKey(String);

impl PeriodKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a period of this name can come after the one called `earlier`. Names of another
    /// cadence can't be compared and always can.
    pub(crate) fn may_follow(&self, earlier: &Self) -> bool {
        self.0.len() != earlier.0.len() || *self > *earlier
    }
}

impl From<String> for PeriodKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl fmt::Display for PeriodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One turn of a task: half-open, `[starts_at, ends_at)`; `None` is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its name.
    pub key: PeriodKey,
    /// The first instant inside.
    pub starts_at: Option<Timestamp>,
    /// The first instant no longer inside.
    pub ends_at: Option<Timestamp>,
}

impl Period {
    /// Whether `at` lies inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.starts_at.is_none_or(|start| start <= at) && self.ends_at.is_none_or(|end| at < end)
    }

    /// The first period by new rules (another zone, another day start), which begins at `from`,
    /// where the period called `after` ended. No name is given twice and none runs back.
    pub(crate) fn opening(
        from: Timestamp,
        after: &PeriodKey,
        period_at: impl Fn(Timestamp) -> Self,
    ) -> Self {
        let mut opening = period_at(from);
        // More than once where zones lie over 24 hours apart, such as Kiritimati and Pago Pago.
        while !opening.key.may_follow(after) {
            let following = opening.ends_at.map(&period_at);
            let Some(following) = following.filter(|p| p.key > opening.key) else { break };
            opening = following;
        }
        Self { starts_at: Some(from), ..opening }
    }
}

/// The rule by which a task's days run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// How often it starts over.
    pub cadence: Cadence,
    /// When a day begins.
    pub day_start: DayStart,
}

/// The earliest and latest instants the calendar can tell: the years 0001 to 9998.
fn in_range(at: Timestamp) -> Timestamp {
    let bound = |year| {
        TimeZone::UTC
            .to_timestamp(Date::constant(year, 1, 1).to_datetime(Time::midnight()))
            .expect("in range")
    };
    at.clamp(bound(1), bound(9998))
}

impl Calendar {
    /// The period that contains `at` where all days follow one zone.
    pub fn period_at(self, at: Timestamp, zone: &TimeZone) -> Period {
        let at = in_range(at);
        let mut first = self.first_day(zone.to_datetime(at).date());
        // The local date is a guess: days may begin later than midnight, and twice in an overlap.
        while at < self.day_start_of(first, zone) {
            first = self.first_day(first.yesterday().expect("in range"));
        }
        while at >= self.day_start_of(self.following(first), zone) {
            first = self.following(first);
        }
        self.period_from(first, zone)
    }

    /// The period named `key`, in a zone; `None` if no period of this cadence is called that.
    pub fn period_named(self, key: &PeriodKey, zone: &TimeZone) -> Option<Period> {
        let first = match self.cadence {
            Cadence::Once => None,
            Cadence::Day => Date::strptime("%Y-%m-%d", key.as_str()).ok(),
            Cadence::Month => Date::strptime("%Y-%m-%d", format!("{key}-01")).ok(),
            Cadence::Week => {
                let (year, week) = key.as_str().split_once("-W")?;
                let (year, week) = (year.parse().ok()?, week.parse().ok()?);
                jiff::civil::ISOWeekDate::new(year, week, Weekday::Monday)
                    .ok()
                    .map(jiff::civil::ISOWeekDate::date)
            }
        };
        if self.cadence == Cadence::Once {
            return (key.as_str() == "once").then(Self::once);
        }
        first
            .filter(|d| (2..9998).contains(&d.year()) && self.key_of(*d) == *key)
            .map(|d| self.period_from(d, zone))
    }

    /// The only period of a task that is done once.
    fn once() -> Period {
        Period { key: PeriodKey("once".to_owned()), starts_at: None, ends_at: None }
    }

    fn period_from(self, first: Date, zone: &TimeZone) -> Period {
        if self.cadence == Cadence::Once {
            return Self::once();
        }
        Period {
            key: self.key_of(first),
            starts_at: Some(self.day_start_of(first, zone)),
            ends_at: Some(self.day_start_of(self.following(first), zone)),
        }
    }

    /// The first day of the period that holds `day`.
    fn first_day(self, day: Date) -> Date {
        match self.cadence {
            Cadence::Once | Cadence::Day => day,
            Cadence::Week => {
                let back = i64::from(day.weekday().to_monday_zero_offset());
                day.checked_sub(back.days()).expect("in range")
            }
            Cadence::Month => day.first_of_month(),
        }
    }

    /// The first day of the period after the one that begins with `first`.
    fn following(self, first: Date) -> Date {
        let length = match self.cadence {
            Cadence::Once | Cadence::Day => 1.day(),
            Cadence::Week => 7.days(),
            Cadence::Month => 1.month(),
        };
        first.checked_add(length).expect("in range")
    }

    fn key_of(self, first: Date) -> PeriodKey {
        PeriodKey(match self.cadence {
            Cadence::Once => "once".to_owned(),
            Cadence::Day => format!("{:04}-{:02}-{:02}", first.year(), first.month(), first.day()),
            Cadence::Month => format!("{:04}-{:02}", first.year(), first.month()),
            Cadence::Week => {
                let week = first.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
        })
    }

    /// When `day` begins: the first valid instant at or after its start by the clock on the wall.
    fn day_start_of(self, day: Date, zone: &TimeZone) -> Timestamp {
        let local = day.to_datetime(self.day_start.0);
        let ambiguous = zone.to_ambiguous_timestamp(local);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the offset after the gap, `local` lies before the transition that opens
                // the gap; that transition is the first instant that exists.
                let before = after.to_timestamp(local).expect("in range");
                zone.following(before).next().map_or(before, |transition| transition.timestamp())
            }
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                ambiguous.earlier().expect("in range")
            }
        }
    }
}

#[cfg(test)]
mod tests;
