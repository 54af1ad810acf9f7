//! The rules of a streak.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The action type by which a user wishes to protect a period, named in `data.task` and `data.period`.
pub const FREEZE_WISHED: &str = "plaudit.streak.freeze";

/// Rules of a streak.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreakRules {
    /// Steps start over after this length; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<i64>,
    /// How many periods in a row may be missed; the next step restores them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub grace_periods: i64,
    /// Freezes, each of which protects one missed period.
    #[serde(default, skip_serializing_if = "Freezes::is_default")]
    pub freezes: Freezes,
    /// How a missed period can be filled later; absent: it can't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_up: Option<MakeUp>,
    /// Spans of time over which no streak breaks, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pauses: Vec<Pause>,
}

impl StreakRules {
    /// Whether freezes are used by [`FREEZE_WISHED`].
    pub fn listens_for_wishes(&self) -> bool {
        self.freezes.used == FreezeUse::Manual && self.freezes.max > 0
    }
}

/// Freezes, each of which protects one missed period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freezes {
    /// How many a user has to begin with; at most `max`.
    #[serde(default)]
    pub initial: i64,
    /// The most that a user can have at once.
    #[serde(default)]
    pub max: i64,
    /// Who decides to use one.
    #[serde(default, rename = "use")]
    pub used: FreezeUse,
}

impl Freezes {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Who decides to use a freeze.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreezeUse {
    /// A missed period takes one while there are any.
    #[default]
    Automatic,
    /// The user, by an action.
    Manual,
}

/// How a missed period can be filled later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MakeUp {
    /// How many periods before the running one can be filled; at least 1.
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
    /// The first instant no longer inside.
    pub until: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
