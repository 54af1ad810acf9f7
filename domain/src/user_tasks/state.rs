//! The part of a user's past that the rules need. It stays small whatever the user's age: open periods,
//! streaks, and how much is unclaimed.

mod periods;
mod streak;

use std::collections::BTreeMap;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::event::Reward;
use super::seen::Seen;
use super::terms::ClaimTerms;
use crate::calendar::{Period, PeriodKey, Zones};
use crate::ids::TaskId;

pub use streak::{
    FreezeChange, FreezeState, ReachedStep, ReservedFreeze, StreakState, Stretch, Told,
};

/// The fold of a user's stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserTasks {
    /// The zones that the user's days follow.
    pub zones: Zones,
    /// Attributes of the user, as producers reported them.
    pub attributes: Map<String, Value>,
    /// The time of the latest update that was taken; an older one changes nothing.
    pub updated_at: Option<Timestamp>,
    /// Whether anything was ever counted: from then on a first zone is a change from UTC.
    pub counted: bool,
    /// Tasks that were touched. All of them after a fold; where the state was read from its rows, those
    /// that were asked for.
    pub tasks: BTreeMap<TaskId, TaskState>,
    /// What was granted, by id of the grant. All of it after a fold; where the state was read from its rows,
    /// what was asked for.
    pub grants: BTreeMap<Uuid, Grant>,
}

/// A granted reward, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What was granted.
    pub reward: Reward,
    /// What became of it.
    pub state: RewardState,
}

/// One task of a user.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskState {
    /// The latest time of an action that this task counted. Actions close periods, clocks don't.
    pub watermark: Option<Timestamp>,
    /// When the last milestone was first reached, in any period. Unlocks dependants.
    pub completed_at: Option<Timestamp>,
    /// Periods that still take actions, or withhold rewards; oldest first.
    pub periods: Vec<PeriodState>,
    /// The latest of the periods that were closed and forgotten. A new version that is more lenient,
    /// or whose days start elsewhere, must not open it again.
    pub closed: Option<ClosedPeriod>,
    /// How many milestones have something to claim.
    pub unclaimed_count: u64,
    /// The milestones with something to claim. All of them after a fold; where the state was read from its
    /// rows, those that were asked for, so that a state does not grow with what its user has not claimed.
    pub claimable: Vec<ClaimableMilestone>,
    /// The milestones whose rewards wait for a budget. All of them after a fold; where the state was read from
    /// its rows, those that were asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<WaitingMilestone>,
    /// For continuous tasks, from the first step on.
    pub streak: Option<Box<StreakState>>,
    /// For continuous tasks, once any were counted, granted or reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freezes: Option<Box<FreezeState>>,
}

impl TaskState {
    /// How many milestones can be claimed at `now`, whether or not it is recorded yet that others no longer can.
    pub fn unclaimed_count_as_of(&self, now: Timestamp) -> u64 {
        let lapsed = self.claimable.iter().filter(|c| c.terms.lapsed(now).is_some()).count();
        self.unclaimed_count.saturating_sub(lapsed as u64)
    }

    /// The open period that contains `at`.
    pub fn period_at(&self, at: Timestamp) -> Option<&PeriodState> {
        self.periods.iter().find(|p| p.period.contains(at))
    }
}

/// What is remembered of a period that takes no more actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedPeriod {
    /// Its name.
    pub key: PeriodKey,
    /// The first instant no longer inside.
    pub ends_at: Timestamp,
    /// What exceeded its target, for the period right after it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub surplus: i64,
}

/// A period that still takes actions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodState {
    /// Fixed when the period opened.
    #[serde(flatten)]
    pub period: Period,
    /// Until when it takes actions that occurred in it, by the watermark; absent: its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// The version it goes by.
    pub version: u32,
    /// What counted so far.
    pub progress: i64,
    /// The target was reached: it takes no more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completed: bool,
    /// What the period before carried over into it; part of `progress`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub carried: i64,
    /// What exceeds its target and is carried over into the next period.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub surplus: i64,
    /// What was counted, for measures that need more than the total; absent: nothing needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// Milestones passed while locked are waiting; they are granted on unlock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// The withheld rewards were earned by past actions, and wait for an operator whether or not the task is
    /// locked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// The highest progress while milestones are waiting, if the progress has fallen since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_progress: Option<i64>,
    /// For continuous tasks: the step that the period is, while what it reaches is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld_step: Option<i64>,
    /// Milestones reached in it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reached: Vec<ReachedMilestone>,
}

impl PeriodState {
    /// The watermark from which on actions for this period are too late.
    pub fn closes_at(&self) -> Option<Timestamp> {
        self.closes_at.or(self.period.ends_at)
    }

    /// Milestones that were passed while locked wait no more.
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

/// A milestone that was reached, and what became of its rewards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReachedMilestone {
    /// The milestone.
    pub at: i64,
    /// The period that reached it.
    pub period: PeriodKey,
    /// The version that promises its rewards.
    pub version: u32,
    /// When.
    pub reached_at: Timestamp,
    /// What was granted, in the order of the version's lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<GrantedLine>,
    /// How long it can be claimed.
    #[serde(default, skip_serializing_if = "ClaimTerms::is_unlimited")]
    pub terms: ClaimTerms,
}

/// A reward line as it was granted, whatever the catalogue says by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedLine {
    /// Names the line within its milestone.
    pub line: String,
    /// For the payer, e.g. `currency`.
    pub kind: String,
    /// For the payer, e.g. `coin`.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// What became of it.
    pub state: RewardState,
}

/// What became of a reward line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RewardState {
    /// The user may take it.
    Claimable,
    /// Taken, or granted without asking; not yet handed to the payer.
    Claimed,
    /// Handed to the payer.
    Delivering,
    /// Paid: the payer has said so.
    Delivered,
    /// Not paid. An operator may have it handed to the payer again.
    Failed,
    /// Not claimed in time.
    Expired,
    /// Not claimed by the end of its period.
    Forfeited,
    /// Taken back by an operator before it was delivered.
    Revoked,
    /// Reached, and granted once its budget holds it.
    Waiting,
    /// Reached, and not granted, because its budget was used up.
    Refused,
}

impl RewardState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Claimable,
        Self::Claimed,
        Self::Delivering,
        Self::Delivered,
        Self::Failed,
        Self::Expired,
        Self::Forfeited,
        Self::Revoked,
        Self::Waiting,
        Self::Refused,
    ];

    /// As stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimable => "claimable",
            Self::Claimed => "claimed",
            Self::Delivering => "delivering",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Forfeited => "forfeited",
            Self::Revoked => "revoked",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }
}

impl FromStr for RewardState {
    type Err = UnknownRewardState;

    fn from_str(got: &str) -> Result<Self, UnknownRewardState> {
        Self::ALL.into_iter().find(|state| state.as_str() == got).ok_or(UnknownRewardState)
    }
}

/// The error for a text that names no [`RewardState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", RewardState::ALL.map(RewardState::as_str).join(", "))]
pub struct UnknownRewardState;

/// A milestone with something to claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimableMilestone {
    /// The period that reached it.
    pub period: Period,
    /// The milestone.
    pub at: i64,
    /// The version that promised its rewards.
    pub version: u32,
    /// When it was reached.
    pub reached_at: Timestamp,
    /// What was promised, and is paid.
    pub rewards: Vec<Reward>,
    /// How long it can be claimed.
    #[serde(default, skip_serializing_if = "ClaimTerms::is_unlimited")]
    pub terms: ClaimTerms,
}

impl ClaimableMilestone {
    /// What a claim that names nothing takes first: the oldest period, and in it the lowest milestone.
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
    /// The rewards that are granted then.
    pub rewards: Vec<Reward>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}
