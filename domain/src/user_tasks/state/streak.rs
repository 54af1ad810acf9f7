//! The state of a streak: its figures as of the last step, and the part of its past that can still
//! be recomputed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ReachedMilestone;
use crate::calendar::{Period, PeriodKey};
use crate::stored_json::is_zero;

/// A streak as of its last step.
///
/// Only steps, make-ups and granted or reserved freezes change it. The outcome of the periods
/// missed since is found by walking them (`user_tasks/gap.rs`); `told` says which part of it is
/// recorded in events already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreakState {
    /// The number of steps in a row up to `last`.
    pub current: i64,
    /// The longest streak ever, in steps.
    pub longest: i64,
    /// The number of the last step within its cycle, from 1.
    pub step: i64,
    /// The period of the last step.
    pub last: Period,
    /// The start of the period of the running cycle's first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_from: Option<Timestamp>,
    /// The start of the period of the user's first step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Milestones reached in the running cycle, and in earlier cycles that a filled period may
    /// still change; in the order in which they were reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<ReachedStep>,
    /// The latest stretches of steps, oldest first; empty if no period before the last step can be
    /// filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
    /// The decisions about the periods missed since the last step that are recorded; absent: none.
    /// Stored as `told`.
    #[serde(default, rename = "told", skip_serializing_if = "Option::is_none")]
    pub recorded: Option<RecordedGap>,
}

/// A milestone that a step reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReachedStep {
    /// The start of the period of the step.
    pub starts_at: Option<Timestamp>,
    /// The milestone.
    #[serde(flatten)]
    pub milestone: ReachedMilestone,
}

/// Steps in consecutive periods, none of them missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The start of the first period.
    pub from: Option<Timestamp>,
    /// The last period.
    pub last: Period,
    /// The number of periods.
    pub count: i64,
    /// The number of steps of the same run before the stretch; 0 if the run begins with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: i64,
    /// The start of the cycle that holds `last`: the start of its first step's period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_from: Option<Timestamp>,
}

impl Stretch {
    /// The number of steps of the run up to the end of the stretch.
    pub fn total(&self) -> i64 {
        self.before.saturating_add(self.count)
    }

    /// True if `period` is one of its steps.
    pub fn holds(&self, period: &Period) -> bool {
        self.from <= period.starts_at && period.starts_at < self.last.ends_at
    }
}

/// The decisions about the periods missed since the last step that events record already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedGap {
    /// The end of the last protected period that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<Timestamp>,
    /// True if the break of the streak is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
}

/// A user's freezes of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FreezeState {
    /// The number left at the last step; absent: the task's `initial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
    /// Grants since then, which `left` does not include; oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<FreezeChange>,
    /// Recent changes that `left` includes: grants, and uses at the end of the period they
    /// protected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FreezeChange>,
    /// The periods for which the user asked to use a freeze, in the order of the requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<ReservedFreeze>,
}

/// A change of the number of freezes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeChange {
    /// The time of the grant, or the end of the period that a freeze protected.
    pub at: Timestamp,
    /// The difference: positive for a grant, negative for a use.
    pub by: i64,
}

/// A freeze that is reserved for one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservedFreeze {
    /// The period.
    pub period: PeriodKey,
    /// The end of the period: from then on the freeze is used or the reservation void.
    pub ends_at: Option<Timestamp>,
}

impl FreezeState {
    /// The number of freezes, all recorded grants and uses counted.
    pub fn total(&self, initial: i64) -> i64 {
        let granted: i64 = self.granted.iter().map(|change| change.by).sum();
        self.left.unwrap_or(initial).saturating_add(granted)
    }
}

impl StreakState {
    /// The last stretch of the streak. If the past can't be recomputed, it holds only the last
    /// step.
    pub fn last_stretch(&self) -> Stretch {
        self.stretches.last().cloned().unwrap_or_else(|| Stretch {
            from: self.last.starts_at,
            last: self.last.clone(),
            count: 1,
            before: self.current - 1,
            cycle_from: self.cycle_from,
        })
    }

    /// True if `period` is known to be a step.
    pub fn has_step(&self, period: &Period) -> bool {
        self.last.key == period.key || self.stretches.iter().any(|stretch| stretch.holds(period))
    }
}
