//! Rewards as the events hold them, and the ids of grants.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Budgeted;
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::{Payout, RewardLine};
use crate::ids::{TaskId, UserId};
use crate::user_tasks::seed::Seed;

/// The rewards of a milestone that lapsed, or that waited for a budget and were granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclaimedRewards {
    /// The task.
    pub task: TaskId,
    /// The version that promised the rewards.
    pub version: u32,
    /// The period.
    pub period: Period,
    /// The milestone.
    pub milestone: i64,
    /// The instant of the change. For lapsed rewards it follows from their terms, whenever it is
    /// noticed; for rewards that waited for a budget it is the time of the grant.
    pub at: Timestamp,
    /// The rewards, as promised.
    pub rewards: Vec<Reward>,
    /// The allotments of their budgets, if they waited for one; absent: they were claimable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgeted: Option<Box<Budgeted>>,
}

/// One reward line due to a user. Every event that moves it holds all of it, so that no reader
/// needs another event to understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reward {
    /// The id of the grant, derived as [`grant_id`] says.
    pub grant: Uuid,
    /// The task.
    pub task: TaskId,
    /// The version that promised the reward.
    pub version: u32,
    /// The period.
    pub period: PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// The name of the line within its milestone.
    pub line: String,
    /// The kind, for the payer, e.g. `currency`.
    pub kind: String,
    /// The code, for the payer, e.g. `coin`.
    pub code: String,
    /// The amount.
    pub amount: i64,
    /// The time at which the milestone was reached.
    pub reached_at: Timestamp,
}

/// A milestone that a user has reached.
#[derive(Debug, Clone, Copy)]
pub struct Earned<'a> {
    /// The user.
    pub user: &'a UserId,
    /// The task.
    pub task: &'a TaskId,
    /// The version that promises the rewards.
    pub version: u32,
    /// The period.
    pub period: &'a PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// The time at which the milestone was reached.
    pub reached_at: Timestamp,
}

impl Earned<'_> {
    /// Returns the reward that a line of the milestone grants. A line that is left to chance is
    /// rolled here, once; the event keeps the result.
    pub fn reward(&self, line: &RewardLine, seed: Seed) -> Reward {
        let grant = grant_id(self.user, self.task, self.period, self.milestone, &line.line);
        let Payout { kind, code, amount } = seed.payout(line, grant).clone();
        Reward {
            grant,
            task: self.task.clone(),
            version: self.version,
            period: self.period.clone(),
            milestone: self.milestone,
            line: line.line.clone(),
            kind,
            code,
            amount,
            reached_at: self.reached_at,
        }
    }
}

/// The namespace of grant ids. Fixed by the contract: payers deduplicate by the ids derived from
/// it.
const GRANT_NAMESPACE: Uuid = Uuid::from_u128(0x3038_9424_25e7_54ea_a9ab_a6d9_4d9c_68b8);

/// Derives the id of a grant. The same grant always gets the same id.
pub fn grant_id(
    user: &UserId,
    task: &TaskId,
    period: &PeriodKey,
    milestone: i64,
    line: &str,
) -> Uuid {
    let name = format!("{user}\u{1f}{task}\u{1f}{period}\u{1f}{milestone}\u{1f}{line}");
    Uuid::new_v5(&GRANT_NAMESPACE, name.as_bytes())
}
