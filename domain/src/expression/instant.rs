//! Timestamps and durations, to the nanosecond.
//!
//! # Source
//!
//! CEL language definition, "Abstract Types" and "List of Standard Definitions".

use std::fmt::Write as _;

use jiff::civil::{Date, DateTime, date};
use jiff::{Span, Timestamp, Unit};

use crate::rfc3339::{self, Written};

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i128 = 86_400;

/// An instant of the years 1 to 9999, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(i128);

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self(at.as_nanosecond())
    }
}

impl Instant {
    /// 0001-01-01T00:00:00Z.
    const MIN: i128 = -62_135_596_800 * NANOS_PER_SECOND;
    /// 9999-12-31T23:59:59.999999999Z.
    const MAX: i128 = 253_402_300_800 * NANOS_PER_SECOND - 1;

    pub fn from_nanos(nanos: i128) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&nanos).then_some(Self(nanos))
    }

    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Self::from_nanos(i128::from(seconds) * NANOS_PER_SECOND)
    }

    pub fn from_millis(millis: i64) -> Option<Self> {
        Self::from_nanos(i128::from(millis) * 1_000_000)
    }

    /// Limit on the length of a written instant, in bytes. Reading one has a fixed price.
    const TEXT_BYTES_MAX: usize = 64;

    /// Parses an RFC 3339 instant. Leap seconds are refused.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::TEXT_BYTES_MAX {
            return None;
        }
        let Written { local, offset_seconds } = rfc3339::read(text)?;
        let days: i128 = epoch_days(local.date())?.into();
        let clock = local.time();
        let seconds = (i128::from(clock.hour()) * 60 + i128::from(clock.minute())) * 60
            + i128::from(clock.second());
        let seconds = days * SECONDS_PER_DAY + seconds - i128::from(offset_seconds);
        Self::from_nanos(seconds * NANOS_PER_SECOND + i128::from(clock.subsec_nanosecond()))
    }

    /// Writes RFC 3339 in UTC, with as many digits of a fraction as needed.
    pub fn text(self) -> String {
        let Some(at) = self.civil(0) else { return String::new() };
        let (day, time) = (at.date(), at.time());
        let mut text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            day.year(),
            day.month(),
            day.day(),
            time.hour(),
            time.minute(),
            time.second()
        );
        push_fraction(&mut text, time.subsec_nanosecond().unsigned_abs());
        text.push('Z');
        text
    }

    /// The same instant in the type of the rest of the program; `None` beyond that type's last
    /// instant, a day and some hours before the end of the year 9999.
    pub fn timestamp(self) -> Option<Timestamp> {
        Timestamp::from_nanosecond(self.0).ok()
    }

    pub fn seconds(self) -> i64 {
        i64::try_from(self.0.div_euclid(NANOS_PER_SECOND)).unwrap_or_default()
    }

    pub fn plus(self, duration_nanos: i64) -> Option<Self> {
        Self::from_nanos(self.0 + i128::from(duration_nanos))
    }

    pub fn minus(self, duration_nanos: i64) -> Option<Self> {
        Self::from_nanos(self.0 - i128::from(duration_nanos))
    }

    /// The nanoseconds since `earlier`; `None` if they do not fit in 64 bits.
    pub fn since(self, earlier: Self) -> Option<i64> {
        i64::try_from(self.0 - earlier.0).ok()
    }

    /// The local date and time at this many seconds east of UTC.
    pub fn civil(self, offset_seconds: i32) -> Option<DateTime> {
        let local = self.0 + i128::from(offset_seconds) * NANOS_PER_SECOND;
        let seconds = local.div_euclid(NANOS_PER_SECOND);
        let days = i64::try_from(seconds.div_euclid(SECONDS_PER_DAY)).ok()?;
        let day = date(1970, 1, 1).checked_add(Span::new().try_days(days).ok()?).ok()?;
        let second = i64::try_from(seconds.rem_euclid(SECONDS_PER_DAY)).ok()?;
        let part = |value: i64| i8::try_from(value).ok();
        let nanos = i32::try_from(local.rem_euclid(NANOS_PER_SECOND)).ok()?;
        let (hour, minute) = (part(second / 3600)?, part(second / 60 % 60)?);
        DateTime::new(day.year(), day.month(), day.day(), hour, minute, part(second % 60)?, nanos)
            .ok()
    }
}

fn epoch_days(day: Date) -> Option<i32> {
    Some(day.since((Unit::Day, date(1970, 1, 1))).ok()?.get_days())
}

fn push_fraction(text: &mut String, nanos: u32) {
    if nanos != 0 {
        let fraction = format!("{nanos:09}");
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
}

/// Reads a duration such as `1h30m`, `-1.5s` or `125ms` as nanoseconds, exactly.
pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let units: [(&str, i128); 6] = [
            ("ms", 1_000_000),
            ("us", 1_000),
            ("ns", 1),
            ("h", 3600 * NANOS_PER_SECOND),
            ("m", 60 * NANOS_PER_SECOND),
            ("s", NANOS_PER_SECOND),
        ];
        let (unit, nanos) = units.iter().find(|(unit, _)| tail.starts_with(unit))?;
        total = total.checked_add(scaled(number, *nanos)?)?;
        rest = &tail[unit.len()..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Multiplies a decimal number by a number of nanoseconds; fractions of a nanosecond are cut.
fn scaled(number: &str, nanos: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || whole.len() > 20 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(18)];
    let places = u32::try_from(fraction.len()).ok()?;
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * nanos + part * nanos / 10_i128.pow(places))
}

/// Writes seconds, with as many digits of a fraction as needed: `5400s`, `-1.5s`.
pub(super) fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let mut text = format!("{sign}{}", nanos / 1_000_000_000);
    push_fraction(&mut text, u32::try_from(nanos % 1_000_000_000).unwrap_or_default());
    text.push('s');
    text
}

/// A part of a timestamp or a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accessor {
    FullYear,
    Month,
    DayOfYear,
    DayOfMonth,
    Date,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Accessor {
    /// Reads the part from a local date and time. Months, days of the month and days of the year
    /// count from 0, `getDate` counts from 1, and Sunday is 0.
    pub fn of_civil(self, at: DateTime) -> i64 {
        let (day, time) = (at.date(), at.time());
        match self {
            Self::FullYear => day.year().into(),
            Self::Month => i64::from(day.month()) - 1,
            Self::DayOfYear => i64::from(day.day_of_year()) - 1,
            Self::DayOfMonth => i64::from(day.day()) - 1,
            Self::Date => day.day().into(),
            Self::DayOfWeek => day.weekday().to_sunday_zero_offset().into(),
            Self::Hours => time.hour().into(),
            Self::Minutes => time.minute().into(),
            Self::Seconds => time.second().into(),
            Self::Milliseconds => i64::from(time.subsec_nanosecond()) / 1_000_000,
        }
    }

    /// Converts the whole duration to this unit, cut to whole numbers; `None` for parts of a date.
    pub fn of_duration(self, nanos: i64) -> Option<i64> {
        let unit = match self {
            Self::Hours => 3_600_000_000_000,
            Self::Minutes => 60_000_000_000,
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            _ => return None,
        };
        Some(nanos / unit)
    }
}

/// The offset of a zone at an instant, in seconds east of UTC. The zone is an IANA name, or an
/// offset such as `+05:30`, whose sign may be missing.
pub(super) fn zone_offset(zone: &str, at: Instant) -> Option<i32> {
    if zone.contains(':') {
        let west = zone.strip_prefix('-');
        let clock = west.or_else(|| zone.strip_prefix('+')).unwrap_or(zone);
        let seconds = rfc3339::hours_and_minutes(clock)?;
        return Some(if west.is_some() { -seconds } else { seconds });
    }
    if zone.is_empty() {
        return Some(0);
    }
    let zone = crate::calendar::zone(zone).ok()?;
    let latest = || Timestamp::MAX;
    Some(zone.to_offset(at.timestamp().unwrap_or_else(latest)).seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_two_digits_a_colon_and_two_digits() {
        let at = Instant::from_seconds(0).unwrap();
        let offsets =
            [("+05:30", 19_800), ("-05:30", -19_800), ("-00:30", -1_800), ("02:00", 7_200)];
        for (zone, seconds) in offsets {
            assert_eq!(zone_offset(zone, at), Some(seconds), "{zone}");
        }
        for zone in ["05:+3", "05:-3", "+5:30", "+-5:30", "--5:30", "24:00", "+05:60", "05:3", ":"]
        {
            assert_eq!(zone_offset(zone, at), None, "{zone}");
        }
    }
}
