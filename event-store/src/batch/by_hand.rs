//! Changes by hand: their idempotency keys and receipts.

use jiff::Timestamp;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::Reward;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Idempotency key of a change by hand. The same key sent for another user or operation is a
/// different key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The user whose history is changed.
    pub user: UserId,
    /// The operation, such as `adjust daily-gifts`.
    pub operation: String,
    /// The key as sent, or an id of the request.
    pub key: String,
}

/// The proof of a change by hand. A repeated request returns it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandReceipt {
    /// The position of the change in the log.
    pub position: String,
    /// The time at which the request arrived.
    pub at: Timestamp,
    /// The change.
    #[serde(flatten)]
    pub change: HandChange,
}

/// A change that was made by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum HandChange {
    /// Freezes were granted.
    FreezesGranted {
        /// The number of freezes added.
        granted: i64,
        /// The number dropped, because the user can't have more.
        dropped: i64,
        /// The number of freezes that the user has now.
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
        /// The amount that it added; below zero if it took something back.
        credited: i64,
        /// The total after it.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The milestones that it reached.
        reached: Vec<i64>,
        /// The rewards that it earned.
        grants: Vec<Uuid>,
    },
    /// A missed period of a streak was filled.
    StreakRestored {
        /// The task.
        task: TaskId,
        /// The period.
        period: PeriodKey,
        /// The length of the streak after it.
        current: i64,
        /// The longest streak there was, after it.
        longest: i64,
        /// The milestones that it reached.
        reached: Vec<i64>,
        /// The rewards that it earned.
        grants: Vec<Uuid>,
    },
}
