//! Rules 1 and 2: days in zones, names of periods, changes of zone.

mod all_zones;
mod cron;
mod days;
pub(super) mod tiling;

use jiff::tz::TimeZone;

use super::*;

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(cadence: Cadence, day_start: &str) -> Calendar {
    Calendar { cadence, day_start: day_start.to_owned().try_into().unwrap() }
}

fn days() -> Calendar {
    calendar(Cadence::Day, "00:00")
}

fn period(key: &str, from: &str, until: &str) -> Period {
    let (starts_at, ends_at) = (Some(instant(from)), Some(instant(until)));
    Period { key: key.to_owned().into(), starts_at, ends_at }
}

/// Checks that the period called `key` is this one, and contains every instant of it.
#[track_caller]
fn check(calendar: Calendar, zone_name: &str, expected: &Period) {
    let tz = zone(zone_name).unwrap();
    let (from, until) = (expected.starts_at.unwrap(), expected.ends_at.unwrap());
    let last = until - jiff::SignedDuration::from_micros(1);
    let middle = from + from.duration_until(until) / 2;
    for at in [from, middle, last] {
        assert_eq!(calendar.period_at(at, &tz), *expected, "{at} in {zone_name}");
    }
    assert_ne!(calendar.period_at(until, &tz).key, expected.key);
    assert_eq!(calendar.period_named(&expected.key, &tz).as_ref(), Some(expected));
}
