//! Parts of the events about streaks.

use serde::{Deserialize, Serialize};

use crate::calendar::Period;
use crate::user_tasks::state::{FreezeChange, Stretch};

/// The protection that kept a missed period from breaking a streak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// A span of time over which no streak breaks.
    Pause,
    /// A freeze, which is used up.
    Freeze,
    /// Grace: one of the periods in a row that may be missed.
    Grace,
}

/// A missed period that did not break a streak, or all those in a row that one pause protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protected {
    /// The key and start of the first of the periods, and the end of the last one.
    pub period: Period,
    /// The protection.
    pub by: Protection,
}

/// The past of a streak after a period before its last step was filled, as far as it can still be
/// recomputed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecomputedPast {
    /// The number of the filled period's step within its cycle.
    pub step: i64,
    /// The latest stretches of steps, oldest first, never empty.
    pub stretches: Vec<Stretch>,
    /// Recent changes of the user's freezes, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub freeze_changes: Vec<FreezeChange>,
}
