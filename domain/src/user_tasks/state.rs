//! The part of a user's past that the rules need. It stays small whatever the user's age: open
//! periods, streaks, and the number of unclaimed milestones.

mod periods;
mod streak;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::event::Reward;
use super::reward_state::RewardState;
use super::seen::Seen;
use super::terms::ClaimTerms;
use crate::calendar::{Period, PeriodKey, Zones};
use crate::ids::TaskId;
use crate::stored_json::is_zero;

pub(crate) use periods::OPEN_PERIODS_MAX;
pub use streak::{
    FreezeChange, FreezeState, ReachedStep, RecordedGap, ReservedFreeze, StreakState, Stretch,
};

/// The fold of a user's stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserTasks {
    /// The zones that the user's days follow.
    pub zones: Zones,
    /// Attributes of the user, as producers reported them.
    pub attributes: Map<String, Value>,
    /// The time of the latest update that was taken. An older update changes nothing.
    pub updated_at: Option<Timestamp>,
    /// True once anything was counted. From then on the first reported zone is a change from UTC.
    pub counted: bool,
    /// The tasks that were touched: all of them after a fold, only the requested ones if the state
    /// was read from its rows.
    pub tasks: BTreeMap<TaskId, TaskState>,
    /// The grants by id: all of them after a fold, only the requested ones if the state was read
    /// from its rows.
    pub grants: BTreeMap<Uuid, Grant>,
}

/// A reward and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The reward.
    pub reward: Reward,
    /// The current state.
    pub state: RewardState,
}

/// One task of a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskState {
    /// The latest time of an action that this task counted. Actions close periods, clocks don't.
    pub watermark: Option<Timestamp>,
    /// The first time that the last milestone was reached, in any period. Unlocks dependants.
    pub completed_at: Option<Timestamp>,
    /// The periods that still take actions or withhold rewards, and the newest one; oldest first.
    pub periods: Vec<PeriodState>,
    /// The latest of the periods that were closed and forgotten. A later version with a longer
    /// lateness, or another start of the day, must not open it again.
    pub closed: Option<ClosedPeriod>,
    /// The number of milestones with something to claim.
    pub unclaimed_count: u64,
    /// The milestones with something to claim: all of them after a fold, only the requested ones if
    /// the state was read from its rows, so that a state does not grow with unclaimed rewards.
    pub claimable: Vec<ClaimableMilestone>,
    /// The milestones whose rewards wait for a budget: all of them after a fold, only the requested
    /// ones if the state was read from its rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingMilestone>,
    /// The streak, for continuous tasks from the first step on.
    pub streak: Option<Box<StreakState>>,
    /// The freezes, for continuous tasks once any were counted, granted or reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freezes: Option<Box<FreezeState>>,
}

impl TaskState {
    /// The number of milestones that can be claimed at `now`. Lapsed ones do not count, recorded or
    /// not.
    pub fn unclaimed_count_as_of(&self, now: Timestamp) -> u64 {
        let lapsed = self.claimable.iter().filter(|c| c.terms.lapsed(now).is_some()).count();
        self.unclaimed_count.saturating_sub(lapsed as u64)
    }

    /// The open period that contains `at`.
    pub fn period_at(&self, at: Timestamp) -> Option<&PeriodState> {
        self.periods.iter().find(|p| p.period.contains(at))
    }
}

/// The part of a period's state that is kept after it is closed and forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPeriod {
    /// The key of the period.
    pub key: PeriodKey,
    /// The end of the period, exclusive.
    pub ends_at: Timestamp,
    /// The amount beyond the target, for the period right after this one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub surplus: i64,
}

/// A period of a task: open, or kept as `TaskState::periods` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodState {
    /// The key and bounds, fixed when the period opened.
    #[serde(flatten)]
    pub period: Period,
    /// The watermark at which the period closes; absent: the end of the period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// The version that the period goes by.
    pub version: u32,
    /// The progress, never above the target.
    pub progress: i64,
    /// True once the target was reached. Further credit can only be carried over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completed: bool,
    /// The amount carried over from the period before; part of `progress`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub carried: i64,
    /// The amount beyond the target that is carried over into the next period.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub surplus: i64,
    /// The values counted, for measures that need more than the total; absent: nothing needs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// True if milestones passed while locked are waiting; they are granted on unlock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// True if the withheld rewards were earned by past actions. They wait for an operator, whether
    /// the task is locked or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The highest progress since milestones are waiting, if progress has fallen since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_progress: Option<i64>,
    /// For continuous tasks: the number of the period's step, while its milestones are withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_step: Option<i64>,
    /// The milestones reached in the period, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<ReachedMilestone>,
}

impl PeriodState {
    /// The watermark from which on actions for this period are too late.
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.closes_at.or(self.period.ends_at)
    }

    /// Clears the marks of withheld milestones: they were granted, or are no longer due.
    pub(super) fn withhold_nothing(&mut self) {
        self.withheld = false;
        self.held = false;
        self.withheld_progress = None;
        self.withheld_step = None;
    }

    /// The progress up to which milestones count as passed.
    pub fn passed(&self) -> i64 {
        self.withheld_progress.unwrap_or(self.progress)
    }
}

/// A milestone that was reached, and the state of its rewards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReachedMilestone {
    /// The milestone.
    pub at: i64,
    /// The period that reached it.
    pub period: PeriodKey,
    /// The version that promises its rewards.
    pub version: u32,
    /// The time at which it was reached.
    pub reached_at: Timestamp,
    /// The reward lines: the granted, those that wait for a budget, then the refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<GrantedLine>,
    /// The time limits for claiming the rewards.
    #[serde(default, skip_serializing_if = "ClaimTerms::is_unlimited")]
    pub terms: ClaimTerms,
}

/// A reward line as it was granted, whatever the catalogue says by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedLine {
    /// The name of the line within its milestone.
    pub line: String,
    /// The kind, for the payer, e.g. `currency`.
    pub kind: String,
    /// The code, for the payer, e.g. `coin`.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// The current state.
    pub state: RewardState,
}

/// A milestone with something to claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimableMilestone {
    /// The period that reached it.
    pub period: Period,
    /// The milestone.
    pub at: i64,
    /// The version that promised its rewards.
    pub version: u32,
    /// The time at which it was reached.
    pub reached_at: Timestamp,
    /// The rewards, paid as promised.
    pub rewards: Vec<Reward>,
    /// The time limits for claiming them.
    #[serde(default, skip_serializing_if = "ClaimTerms::is_unlimited")]
    pub terms: ClaimTerms,
}

impl ClaimableMilestone {
    /// The order in which claims without a period or milestone take milestones: the oldest period
    /// first, then the lowest milestone.
    pub fn order(&self) -> (Option<Timestamp>, i64) {
        (self.period.starts_at, self.at)
    }
}

/// A milestone whose rewards wait for a budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitingMilestone {
    /// The period that reached it.
    pub period: Period,
    /// The milestone.
    pub at: i64,
    /// The version that promised its rewards.
    pub version: u32,
    /// The time at which it was reached.
    pub reached_at: Timestamp,
    /// The rewards to grant once the budget holds them.
    pub rewards: Vec<Reward>,
}
