//! The periods of one task for one user: a chain without gaps, even through changes of zone.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::soak::action::ZONES;
use crate::soak::tasks::{Cadence, Unit};

/// One period of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The day, or the Monday of the week.
    pub first_day: Date,
    /// The first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// All periods of a task for a user.
#[derive(Debug, Clone)]
pub struct Timeline {
    cadence: Cadence,
    /// In ascending order. The first one has no beginning.
    stretches: Vec<Stretch>,
}

/// The periods under one zone.
#[derive(Debug, Clone)]
struct Stretch {
    zone: TimeZone,
    /// The first period. It begins where the last period of the previous zone ended, and is absent
    /// in the first stretch.
    first: Option<Period>,
}

impl Timeline {
    /// Creates a timeline with one zone from the beginning.
    pub fn new(cadence: Cadence, zone: usize) -> Self {
        let stretches = vec![Stretch { zone: zone_of(zone), first: None }];
        Self { cadence, stretches }
    }

    /// Returns the period that contains `at`.
    pub fn period_at(&self, at: Timestamp) -> Period {
        let begun = |stretch: &&Stretch| stretch.first.is_none_or(|first| first.start <= at);
        let Some(stretch) = self.stretches.iter().rev().find(begun) else {
            return natural_period(self.cadence, &TimeZone::UTC, at); // the first always has begun
        };
        match stretch.first {
            Some(first) if at < first.end => first,
            _ => natural_period(self.cadence, &stretch.zone, at),
        }
    }

    /// Changes the zone from the end of the period that contains `at`. Replaces a change that waits
    /// for the same end. Changes must be made in the order of their times.
    pub fn change_zone(&mut self, at: Timestamp, zone: usize) {
        let (last, zone) = (self.period_at(at), zone_of(zone));
        let start = last.end;
        self.stretches.retain(|stretch| stretch.first.is_none_or(|first| first.start < start));
        let by_zone = natural_period(self.cadence, &zone, start).first_day;
        let first_day = by_zone.max(following(self.cadence.unit, last.first_day));
        let end = start_of(self.cadence, &zone, following(self.cadence.unit, first_day));
        self.stretches.push(Stretch { zone, first: Some(Period { first_day, start, end }) });
    }
}

/// Returns the stored key of a period.
pub fn key(unit: Unit, first_day: Date) -> String {
    match unit {
        Unit::Day => first_day.to_string(),
        Unit::Week => {
            let week = first_day.iso_week_date();
            format!("{:04}-W{:02}", week.year(), week.week())
        }
    }
}

fn zone_of(index: usize) -> TimeZone {
    TimeZone::get(ZONES[index]).unwrap_or(TimeZone::UTC) // the time zone database is compiled in
}

fn following(unit: Unit, first_day: Date) -> Date {
    match unit {
        Unit::Day => first_day.saturating_add(1.day()),
        Unit::Week => first_day.saturating_add(7.days()),
    }
}

/// Returns the first instant of a day, which begins at the cadence's own hour.
fn start_of(cadence: Cadence, zone: &TimeZone, day: Date) -> Timestamp {
    let begin = day.at(cadence.day_starts_at, 0, 0, 0);
    zone.to_ambiguous_timestamp(begin).compatible().unwrap_or(Timestamp::MAX)
}

fn natural_period(cadence: Cadence, zone: &TimeZone, at: Timestamp) -> Period {
    let mut day = zone.to_datetime(at).date();
    if at < start_of(cadence, zone, day) {
        day = day.saturating_sub(1.day());
    }
    if cadence.unit == Unit::Week {
        day = day.saturating_sub(i64::from(day.weekday().to_monday_zero_offset()).days());
    }
    let start = start_of(cadence, zone, day);
    let end = start_of(cadence, zone, following(cadence.unit, day));
    Period { first_day: day, start, end }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAILY: Cadence = Cadence { unit: Unit::Day, day_starts_at: 4, of_user: true };

    fn shown(period: Period) -> (String, String, String) {
        (key(Unit::Day, period.first_day), period.start.to_string(), period.end.to_string())
    }

    #[test]
    fn a_new_zone_begins_where_the_old_zones_day_ends_and_repeats_no_key() {
        let mut line = Timeline::new(DAILY, 5); // Auckland, +13 in November
        line.change_zone("2026-11-20T00:00:00Z".parse().unwrap(), 6); // to Honolulu, -10
        let before = line.period_at("2026-11-20T14:59:59Z".parse().unwrap());
        let after = line.period_at("2026-11-20T15:00:00Z".parse().unwrap());
        assert_eq!(shown(before).0, "2026-11-20");
        let expected = ("2026-11-21", "2026-11-20T15:00:00Z", "2026-11-22T14:00:00Z");
        assert_eq!(shown(after), (expected.0.into(), expected.1.into(), expected.2.into()));
    }

    #[test]
    fn of_two_changes_in_one_period_the_second_counts() {
        let mut line = Timeline::new(DAILY, 0);
        line.change_zone("2026-11-20T12:00:00Z".parse().unwrap(), 5);
        line.change_zone("2026-11-20T13:00:00Z".parse().unwrap(), 0);
        let next = line.period_at("2026-11-21T12:00:00Z".parse().unwrap());
        let expected = ("2026-11-21", "2026-11-21T04:00:00Z", "2026-11-22T04:00:00Z");
        assert_eq!(shown(next), (expected.0.into(), expected.1.into(), expected.2.into()));
    }
}
