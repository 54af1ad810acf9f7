//! The receipts of claims.

use jiff::Timestamp;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{ClaimedMilestone, Event, Reward, RewardState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The proof of a claim. A repeated claim returns it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The user who claimed.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The period.
    pub period: PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// The position of the claim in the log.
    pub position: String,
    /// The time at which the claim arrived.
    pub claimed_at: Timestamp,
    /// The rewards that were claimed.
    pub rewards: Vec<ReceiptLine>,
}

/// One line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptLine {
    /// The id of the grant.
    pub grant: Uuid,
    /// The name of the line within its milestone.
    pub line: String,
    /// The kind of reward, for the payer.
    pub kind: String,
    /// The code of the reward, for the payer.
    pub code: String,
    /// The number of units.
    pub amount: i64,
    /// The state as of the receipt: `claimed`.
    pub state: String,
}

impl Receipt {
    /// Builds the receipt of an earlier claim from its event; `None` for any other event.
    pub fn of_event(user: &UserId, event: &Event, position: Position) -> Option<Self> {
        let Event::RewardsClaimed { task, version, period, milestone, at, rewards } = event else {
            return None;
        };
        let claimed = ClaimedMilestone {
            task: task.clone(),
            version: *version,
            period: period.clone(),
            milestone: *milestone,
            at: *at,
            rewards: rewards.clone(),
        };
        Some(Self::new(user, &claimed, position))
    }

    /// Builds the receipt of a claim.
    pub fn new(user: &UserId, claimed: &ClaimedMilestone, position: Position) -> Self {
        Self {
            user: user.clone(),
            task: claimed.task.clone(),
            period: claimed.period.key.clone(),
            milestone: claimed.milestone,
            position: position.to_string(),
            claimed_at: claimed.at,
            rewards: claimed.rewards.iter().map(ReceiptLine::claimed).collect(),
        }
    }
}

impl ReceiptLine {
    /// The line of a claimed reward.
    pub(crate) fn claimed(reward: &Reward) -> Self {
        Self {
            grant: reward.grant,
            line: reward.line.clone(),
            kind: reward.kind.clone(),
            code: reward.code.clone(),
            amount: reward.amount,
            state: RewardState::Claimed.as_str().to_owned(),
        }
    }
}
