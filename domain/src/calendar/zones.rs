//! The zones a user has lived in, and which periods follow from them.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Calendar, Period, PeriodKey};

/// The zone with this IANA name.
///
/// # Errors
///
/// [`UnknownZone`] if the time zone database does not have it.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    // The name "unknown" is jiff's own marker and no zone of the database.
    let known = !name.eq_ignore_ascii_case("etc/unknown");
    TimeZone::get(name).ok().filter(|_| known).ok_or_else(|| UnknownZone { got: name.to_owned() })
}

/// Why a text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is no zone of the IANA time zone database, such as Europe/Paris")]
pub struct UnknownZone {
    got: String,
}

/// A user's zone and how it changed. A change takes effect, task by task, at the end of the period
/// that contains it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zones {
    /// The zone before the first of `changes`; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<String>,
    /// When the user changed zone, and to which, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<(Timestamp, String)>,
}

impl Zones {
    /// How long a change is remembered, in days: longer than the longest period, the one that a
    /// change makes longer, and any lateness that makes sense. After that a boundary that it moved
    /// lies in periods that have long been closed.
    const REMEMBERED_DAYS: i64 = 100;

    /// How many changes are remembered at most, so that a state stays small whatever a producer
    /// tells. Who changes zone more often than this within a hundred days may see a boundary move.
    const CHANGES_MAX: usize = 64;

    /// Whether this user never told a zone.
    pub fn is_unknown(&self) -> bool {
        self.first.is_none() && self.changes.is_empty()
    }

    /// The zone told last; UTC if none was.
    pub fn current(&self) -> &str {
        self.changes.last().map(|(_, to)| to.as_str()).or(self.first.as_deref()).unwrap_or("UTC")
    }

    /// A zone that holds for all time: that of a user of whom nothing was counted before.
    pub fn settle(&mut self, name: String) {
        *self = Self { first: Some(name), changes: Vec::new() };
    }

    /// A zone that holds from the boundary after `at` on.
    pub fn change(&mut self, at: Timestamp, name: String) {
        if self.current() == name && !self.is_unknown() {
            return;
        }
        self.changes.push((at, name));
        let remembered = SignedDuration::from_hours(24 * Self::REMEMBERED_DAYS);
        let forgotten = |told: Timestamp| at.duration_since(told) > remembered;
        while self.changes.len() > Self::CHANGES_MAX || forgotten(self.changes[0].0) {
            self.first = Some(self.changes.remove(0).1);
        }
    }

    /// The period of `calendar` that contains `at`, for this user.
    pub fn period_at(&self, calendar: Calendar, at: Timestamp) -> Period {
        Segments::new(self, calendar).period_at(at)
    }

    /// The period of `calendar` called `key`, for this user, if it exists.
    pub fn period_named(&self, calendar: Calendar, key: &PeriodKey) -> Option<Period> {
        let segments = Segments::new(self, calendar);
        // A change moves a boundary by less than two days, so the period is in one of the zones,
        // or begins where one zone follows another.
        let by_zone = segments.0.iter().filter_map(|s| calendar.period_named(key, &s.zone));
        let probes =
            by_zone.flat_map(|p| [p.starts_at, p.ends_at]).chain(segments.0.iter().map(|s| s.from));
        let mut found = probes.map(|at| segments.period_at(at.unwrap_or(Timestamp::UNIX_EPOCH)));
        found.find(|p| p.key == *key)
    }
}

/// A stretch of time in which a task's periods follow one zone.
struct Segment {
    /// `None`: since ever.
    from: Option<Timestamp>,
    zone: TimeZone,
    /// The key of the period that ended at `from`.
    after: Option<PeriodKey>,
}

/// What a user's zones mean for one calendar.
struct Segments(Vec<Segment>, Calendar);

impl Segments {
    fn new(zones: &Zones, calendar: Calendar) -> Self {
        // A stored zone was checked when it was told; one that the database has since lost is UTC.
        let load = |name: &str| zone(name).unwrap_or(TimeZone::UTC);
        let first = load(zones.first.as_deref().unwrap_or("UTC"));
        let mut segments = Self(vec![Segment { from: None, zone: first, after: None }], calendar);
        for (at, name) in &zones.changes {
            let open = segments.period_at(*at);
            // A second change within one period replaces the first: both wait for the same end.
            segments.0.retain(|s| s.from.is_none() || s.from < open.ends_at);
            segments.0.push(Segment {
                from: open.ends_at,
                zone: load(name),
                after: Some(open.key),
            });
        }
        segments
    }

    fn period_at(&self, at: Timestamp) -> Period {
        let index = self.0.iter().rposition(|s| s.from.is_none_or(|from| from <= at)).unwrap_or(0);
        let segment = &self.0[index];
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
