//! Changes by hand: how a repeat is told, and what it is answered with.

use jiff::Timestamp;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::Reward;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The idempotency key of a change by hand: of whom, and of what. A key of one operation is none of another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Whose history is changed.
    pub user: UserId,
    /// What is done, such as `adjust daily-gifts`.
    pub operation: String,
    /// As sent, or an id of the request.
    pub key: String,
}

/// The proof of a change by hand. A repeated request returns it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandReceipt {
    /// Where the change stands in the log.
    pub position: String,
    /// When the request arrived.
    pub at: Timestamp,
    /// What was changed.
    #[serde(flatten)]
    pub change: HandChange,
}

/// What was changed by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum HandChange {
    /// Freezes were given.
    FreezesGranted {
        /// How many were added.
        granted: i64,
        /// How many would have been more than the user can have.
        dropped: i64,
        /// How many there are now.
        freezes: i64,
    },
    /// A reward was granted.
    RewardGranted {
        /// The reward.
        reward: Reward,
    },
    /// Rewards were revoked.
    RewardsRevoked {
        /// Their grants.
        grants: Vec<Uuid>,
    },
    /// Progress was changed.
    ProgressCorrected {
        /// The task.
        task: TaskId,
        /// The period.
        period: PeriodKey,
        /// What it added; below zero if it took something back.
        credited: i64,
        /// The total after it.
        progress: i64,
        /// What the period needs.
        target: i64,
        /// The milestones that it reached.
        reached: Vec<i64>,
        /// The rewards that it earned.
        grants: Vec<Uuid>,
    },
}
