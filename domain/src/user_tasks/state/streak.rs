//! What is remembered of a streak: its figures as of the last step, and as much of its past as can still be
//! judged anew.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ReachedMilestone;
use crate::calendar::{Period, PeriodKey};

/// A streak as of its last step.
///
/// Only steps, make-ups and granted or reserved freezes change it. What became of the periods missed since is
/// found by walking them (`user_tasks/gap.rs`); `told` only says which of it is an event already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreakState {
    /// Steps in a row up to `last`.
    pub current: i64,
    /// The most there ever were.
    pub longest: i64,
    /// The step within the cycle, from 1.
    pub step: i64,
    /// The period of the last step.
    pub last: Period,
    /// When the period of the running cycle's first step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_from: Option<Timestamp>,
    /// When the period of the user's first step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Timestamp>,
    /// Milestones reached in the running cycle, and in earlier ones that may still be joined to a run; in
    /// the order in which they were reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<ReachedStep>,
    /// The latest stretches of steps, oldest first; empty if no period before the last step can be filled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<Stretch>,
    /// What was told of the periods missed since the last step; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

/// A milestone that a step reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReachedStep {
    /// When the period that is the step began.
    pub starts_at: Option<Timestamp>,
    /// The milestone.
    #[serde(flatten)]
    pub milestone: ReachedMilestone,
}

/// Steps in periods without a missed one between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// When the first of the periods began.
    pub from: Option<Timestamp>,
    /// The last of the periods.
    pub last: Period,
    /// How many periods.
    pub count: i64,
    /// Steps of the same run before it; 0 if the run begins with it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub before: i64,
    /// When the period of the first step of the cycle began that holds `last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_from: Option<Timestamp>,
}

impl Stretch {
    /// Steps of the run up to its end.
    pub fn total(&self) -> i64 {
        self.before.saturating_add(self.count)
    }

    /// Whether `period` is one of its steps.
    pub fn holds(&self, period: &Period) -> bool {
        self.from <= period.starts_at && period.starts_at < self.last.ends_at
    }
}

/// What was told of the periods missed since the last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// The end of the last protected period that was told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_until: Option<Timestamp>,
    /// That the streak broke was told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
}

/// A user's freezes of one task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FreezeState {
    /// How many were left at the last step; absent: the task's `initial`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
    /// Grants that `left` does not count yet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<FreezeChange>,
    /// Recent changes that `left` counts: grants, and uses at the end of the period they protected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<FreezeChange>,
    /// Periods for which the user wished to use a freeze, by key, oldest wish first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reserved: Vec<ReservedFreeze>,
}

/// Freezes that came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeChange {
    /// When.
    pub at: Timestamp,
    /// How many came; negative if they went.
    pub by: i64,
}

/// A freeze that is kept for one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReservedFreeze {
    /// The period.
    pub period: PeriodKey,
    /// When the period ends: from then on the wish is kept or void.
    pub ends_at: Option<Timestamp>,
}

impl FreezeState {
    /// How many there are, all recorded grants and uses counted.
    pub fn total(&self, initial: i64) -> i64 {
        let granted: i64 = self.granted.iter().map(|change| change.by).sum();
        self.left.unwrap_or(initial).saturating_add(granted)
    }
}

impl StreakState {
    /// Its last stretch, which is all that is known of a streak whose past can't be judged anew.
    pub fn last_stretch(&self) -> Stretch {
        self.stretches.last().cloned().unwrap_or_else(|| Stretch {
            from: self.last.starts_at,
            last: self.last.clone(),
            count: 1,
            before: self.current - 1,
            cycle_from: self.cycle_from,
        })
    }

    /// Whether `period` is known to be a step.
    pub fn has_step(&self, period: &Period) -> bool {
        self.last.key == period.key || self.stretches.iter().any(|stretch| stretch.holds(period))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
