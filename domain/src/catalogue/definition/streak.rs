//! The rules of a streak.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::stored_json::is_zero;

/// The action type by which a user asks to protect a period, named in `data.task` and
/// `data.period`.
pub const FREEZE_REQUESTED: &str = "plaudit.streak.freeze";

/// Rules of a streak.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreakRules {
    /// The length after which the steps start over; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<i64>,
    /// The number of periods in a row that may be missed. The next step renews them all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub grace_periods: i64,
    /// Freezes, each of which protects one missed period.
    #[serde(default, skip_serializing_if = "Freezes::is_default")]
    pub freezes: Freezes,
    /// The rule for filling missed periods later; absent: they can't be filled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_up: Option<MakeUp>,
    /// Spans of time over which no streak breaks, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
}

impl StreakRules {
    /// True if users spend freezes by [`FREEZE_REQUESTED`] actions.
    pub fn takes_freeze_requests(&self) -> bool {
        self.freezes.used == FreezeUse::Manual && self.freezes.max > 0
    }
}

/// Freezes, each of which protects one missed period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freezes {
    /// The freezes that a user starts with; at most `max`.
    #[serde(default)]
    pub initial: i64,
    /// The most that a user can have at once.
    #[serde(default)]
    pub max: i64,
    /// The way in which a freeze is used.
    #[serde(default, rename = "use")]
    pub used: FreezeUse,
}

impl Freezes {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The way in which a freeze is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeUse {
    /// Each missed period takes one while there are any.
    #[default]
    Automatic,
    /// The user takes one, by an action.
    Manual,
}

/// The rule for filling a missed period later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeUp {
    /// The number of periods before the running one that can be filled; at least 1.
    pub look_back: i64,
    /// The action type that fills one, named in its `data.period`.
    pub on: String,
}

/// A span of time `[from, until)` over which no streak breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pause {
    /// The first instant inside.
    pub from: Timestamp,
    /// The first instant after the span.
    pub until: Timestamp,
}
