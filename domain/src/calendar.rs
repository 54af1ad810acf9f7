//! Periods: the turn of a task that an instant falls in, its start, its end and its key.
//!
//! Days are calendar days in a zone; a day of 23 or 25 hours is one day. A day or a cron tick that
//! would begin in a gap begins at the first valid instant; in an overlap, it begins at the first
//! occurrence. `docs/time.md` has examples.

mod cron;
mod dates;
mod recurrence;
mod zones;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};

pub use cron::{Cron, InvalidCron};
pub use recurrence::{Cadence, Calendar};
pub use zones::{TooManyChanges, UnknownZone, ZONE_DATABASE_VERSION, Zones, zone, zone_names};

/// The local time at which days begin, to the minute.
///
/// The default is midnight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DayStart(Time);

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

/// A text that is not a valid [`DayStart`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the start of a day looks like \"05:00\", from 00:00 to 23:59, got {got:?}")]
pub struct InvalidDayStart {
    got: String,
}

/// The stored name of one turn of a task. The keys of one cadence sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeriodKey(String);

impl PeriodKey {
    /// The key of the only period of a task that is done once.
    const ONCE: &str = "once";

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if a period with this key can come after the one called `earlier`. Keys of different
    /// cadences can't be compared, so either may follow the other.
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
    /// The period's name.
    pub key: PeriodKey,
    /// The first instant inside.
    pub starts_at: Option<Timestamp>,
    /// The first instant after the period.
    pub ends_at: Option<Timestamp>,
}

impl Period {
    /// The only period of a task that is done once.
    fn once() -> Self {
        Self { key: PeriodKey(PeriodKey::ONCE.to_owned()), starts_at: None, ends_at: None }
    }

    /// True if `at` lies inside the period.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.starts_at.is_none_or(|start| start <= at) && self.ends_at.is_none_or(|end| at < end)
    }

    /// The first period under new rules (another zone or day start). It begins at `from`, where the
    /// period `after` ended. No key is used twice, and keys never go back in time.
    pub(crate) fn opening(
        from: Timestamp,
        after: &PeriodKey,
        period_at: impl Fn(Timestamp) -> Self,
    ) -> Self {
        let mut opening = period_at(from);
        // The loop runs more than once for zones over 24 hours apart, such as Kiritimati and Pago
        // Pago.
        while !opening.key.may_follow(after) {
            let following = opening.ends_at.map(&period_at);
            let Some(following) = following.filter(|p| p.key > opening.key) else { break };
            opening = following;
        }
        Self { starts_at: Some(from), ..opening }
    }
}

#[cfg(test)]
mod tests;
