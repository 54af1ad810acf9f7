//! Cron schedules: periods that begin at the ticks of a schedule.

mod field;

use std::fmt;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::recurrence::in_range;
use super::zones::first_instant;
use super::{Period, PeriodKey};
use field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH};

/// A schedule of five fields: minute, hour, day of month, month and day of week.
///
/// Each field is `*`, or a list of numbers, ranges and steps. Months and days of the week have
/// names too; 0 and 7 are Sunday. If both the day of month and the day of week are restricted, a
/// day matches if either does.
///
/// # Source
///
/// POSIX.1-2024, `crontab`; names, steps and 7 for Sunday as in Vixie cron, `crontab(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    minutes: Field,
    hours: Field,
    days_of_month: Field,
    months: Field,
    days_of_week: Field,
}

impl std::str::FromStr for Cron {
    type Err = InvalidCron;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        let invalid = |reason: String| InvalidCron { got: got.to_owned(), reason };
        if got.len() > Self::LEN_BYTES_MAX {
            let max = Self::LEN_BYTES_MAX;
            return Err(InvalidCron { got: "…".to_owned(), reason: format!("over {max} bytes") });
        }
        if got.trim_start().starts_with('@') {
            return Err(invalid("shorthands such as @daily are not known; write them out".into()));
        }
        let words: Vec<&str> = got.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = words[..] else {
            return Err(invalid(format!("it has {} fields", words.len())));
        };
        let read = |text, range| Field::read(text, range).map_err(invalid);
        let cron = Self {
            minutes: read(minute, &MINUTE)?.or_any(&MINUTE),
            hours: read(hour, &HOUR)?.or_any(&HOUR),
            days_of_month: read(day_of_month, &DAY_OF_MONTH)?,
            months: read(month, &MONTH)?.or_any(&MONTH),
            days_of_week: read(day_of_week, &DAY_OF_WEEK)?,
        };
        let cron = cron.with_days_in_one_spelling();
        if cron.has_days() { Ok(cron) } else { Err(invalid("no month has such a day".into())) }
    }
}

impl TryFrom<String> for Cron {
    type Error = InvalidCron;

    fn try_from(got: String) -> Result<Self, Self::Error> {
        got.parse()
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> Self {
        cron.to_string()
    }
}

/// Writes the schedule in canonical form, however it was spelled.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            self.minutes.write(&MINUTE),
            self.hours.write(&HOUR),
            self.days_of_month.write(&DAY_OF_MONTH),
            self.months.write(&MONTH),
            self.days_of_week.write(&DAY_OF_WEEK),
        ];
        f.write_str(&fields.join(" "))
    }
}

/// A text that is not a valid [`Cron`], with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a cron schedule has five fields, minute, hour, day of month, month and day of week, such as \
     \"0 5 * * MON\", got {got:?}: {reason}"
)]
pub struct InvalidCron {
    got: String,
    reason: String,
}

/// The direction in which to search for a tick.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Earlier,
    Later,
}

impl Cron {
    /// The longest schedule, in bytes. A list of all sixty minutes fits.
    const LEN_BYTES_MAX: usize = 512;

    /// The longest pause of any schedule: from one 29 February to the next around 2100.
    const PAUSE_YEARS_MAX: i16 = 8;

    /// Upper bound on two periods in a row, in days. After a change of zone a period may be as long
    /// as two, so that is four times eight years, at the end of a century.
    pub(super) const DAYS_IN_TWO_PERIODS_MAX: i64 = 12_000;

    /// The period that contains `at`.
    pub(super) fn period_at(self, at: Timestamp, zone: &TimeZone) -> Period {
        let local = zone.to_datetime(at);
        let mut tick = self.tick(last_local_not_after(at, local, zone), Direction::Earlier);
        while let Some(late) = tick.filter(|tick| first_instant(*tick, zone) > at) {
            tick = self.tick(late - 1.minute(), Direction::Earlier);
        }
        let starts_at = tick.map(|tick| first_instant(tick, zone));
        let mut next = self.tick(floor_to_minute(local) + 1.minute(), Direction::Later);
        while let Some(early) = next.filter(|tick| first_instant(*tick, zone) <= at) {
            next = self.tick(early + 1.minute(), Direction::Later);
        }
        Period {
            key: key_of(starts_at.unwrap_or(at)),
            starts_at,
            ends_at: next.map(|tick| first_instant(tick, zone)),
        }
    }

    /// The period that begins at the instant in `key`; `None` if it is not the start of a period.
    pub(super) fn period_named(self, key: &PeriodKey, zone: &TimeZone) -> Option<Period> {
        let starts_at: Timestamp = key.as_str().parse().ok()?;
        (key_of(starts_at) == *key && in_range(starts_at) == starts_at)
            .then(|| self.period_at(starts_at, zone))
            .filter(|period| period.key == *key)
    }

    /// The first tick in wall-clock time at or after `from`, or the last at or before it. The
    /// search is bounded: it skips months without a tick as a whole and goes no further than eight
    /// years.
    fn tick(self, from: DateTime, direction: Direction) -> Option<DateTime> {
        let mut day = from.date();
        let mut bound = Some((from.hour(), from.minute()));
        while (day.year() - from.year()).abs() <= Self::PAUSE_YEARS_MAX {
            if self.day_matches(day)
                && let Some((hour, minute)) = self.time_of_day(bound, direction)
            {
                return Some(day.at(hour, minute, 0, 0));
            }
            bound = None;
            let month_matches = self.months.has(day.month());
            let next = match direction {
                Direction::Later if month_matches => day.tomorrow(),
                Direction::Later => day.last_of_month().tomorrow(),
                Direction::Earlier if month_matches => day.yesterday(),
                Direction::Earlier => day.first_of_month().yesterday(),
            };
            // There are no ticks beyond the last year that the calendar supports.
            day = next.ok().filter(|day| (-9000..9999).contains(&day.year()))?;
        }
        None
    }

    /// The shortest time between two ticks on days that follow each other, in minutes.
    pub(super) fn minutes_between_ticks_min(self) -> i64 {
        let of_day = (0..24).filter(|hour| self.hours.has(*hour)).flat_map(|hour| {
            let minutes = (0..60).filter(|minute| self.minutes.has(*minute));
            minutes.map(move |minute| i64::from(hour) * 60 + i64::from(minute))
        });
        let mut ticks: Vec<i64> = of_day.collect();
        ticks.extend(ticks.first().map(|first| first + 24 * 60));
        ticks.windows(2).map(|two| two[1] - two[0]).min().unwrap_or(24 * 60)
    }

    fn day_matches(self, day: Date) -> bool {
        let of_month = self.days_of_month.has(day.day());
        let of_week = self.days_of_week.has(weekday(day.weekday()));
        let day_matches = if self.days_of_month.restricted && self.days_of_week.restricted {
            of_month || of_week
        } else {
            of_month && of_week
        };
        self.months.has(day.month()) && day_matches
    }

    /// The first matching hour and minute at or after `bound`, or the last at or before it. Without
    /// a bound, the first or last of the day.
    fn time_of_day(self, bound: Option<(i8, i8)>, direction: Direction) -> Option<(i8, i8)> {
        let (hours, minutes) = (self.hours, self.minutes);
        match direction {
            Direction::Later => {
                let (hour, minute) = bound.unwrap_or((0, 0));
                let in_this_hour = hours.has(hour).then(|| minutes.first_from(minute)).flatten();
                let later = || Some((hours.first_from(hour + 1)?, minutes.first_from(0)?));
                in_this_hour.map(|minute| (hour, minute)).or_else(later)
            }
            Direction::Earlier => {
                let (hour, minute) = bound.unwrap_or((23, 59));
                let in_this_hour = hours.has(hour).then(|| minutes.last_up_to(minute)).flatten();
                let earlier = || Some((hours.last_up_to(hour - 1)?, minutes.last_up_to(59)?));
                in_this_hour.map(|minute| (hour, minute)).or_else(earlier)
            }
        }
    }

    /// Returns the schedule with `*` for both fields of days if either lists all of them. Two lists
    /// are joined by *or*, so every day matches; with one `*`, the other list alone would count.
    fn with_days_in_one_spelling(self) -> Self {
        let lists_all = self.days_of_month.lists_all(&DAY_OF_MONTH)
            || self.days_of_week.lists_all(&DAY_OF_WEEK);
        if !lists_all {
            return self;
        }
        let days_of_month = Field::any(&DAY_OF_MONTH);
        Self { days_of_month, days_of_week: Field::any(&DAY_OF_WEEK), ..self }
    }

    /// True if any date matches, 29 February included.
    fn has_days(self) -> bool {
        const LAST_DAYS: [i8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let first = self.days_of_month.first_from(1);
        let in_a_month = (1..=12).zip(LAST_DAYS).any(|(month, last)| {
            self.months.has(month) && first.is_some_and(|first| first <= last)
        });
        in_a_month || (self.days_of_month.restricted && self.days_of_week.restricted)
    }
}

/// The latest wall-clock time whose first occurrence may be at or before `at`. This is the local
/// time of `at`, except in the second pass of an overlap: by then, all of the overlap has occurred
/// once.
fn last_local_not_after(at: Timestamp, local: DateTime, zone: &TimeZone) -> DateTime {
    match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Fold { before, after } if zone.to_offset(at) == after => {
            let repeated = i64::from(before.seconds()) - i64::from(after.seconds());
            floor_to_minute(local + SignedDuration::from_secs(repeated))
        }
        _ => floor_to_minute(local),
    }
}

fn floor_to_minute(local: DateTime) -> DateTime {
    local.date().at(local.hour(), local.minute(), 0, 0)
}

/// Numbers weekdays as cron does: 0 is Sunday.
fn weekday(day: Weekday) -> i8 {
    day.to_sunday_zero_offset()
}

fn key_of(starts_at: Timestamp) -> PeriodKey {
    PeriodKey::from(starts_at.to_string())
}
