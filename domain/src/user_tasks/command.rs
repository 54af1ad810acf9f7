//! Wishes put to one user's tasks.

use jiff::Timestamp;
use uuid::Uuid;

use crate::action::Action;
use crate::calendar::PeriodKey;
use crate::ids::{TaskId, UserId};

/// A wish; it may be refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Judge what the user did.
    RecordAction(Action),
    /// Hand out the rewards of one milestone.
    ClaimRewards {
        /// Whose.
        user: UserId,
        /// The task.
        task: TaskId,
        /// Which period; absent: the oldest with something to claim.
        period: Option<PeriodKey>,
        /// Which milestone; absent: the lowest with something to claim.
        milestone: Option<i64>,
        /// When the wish arrived.
        claimed_at: Timestamp,
    },
    /// Note that grants were handed to the paying system.
    StartDeliveries {
        /// What was handed over, as it was granted.
        rewards: Vec<super::Reward>,
    },
    /// Note that an operator released or discarded a parked record.
    ResolveParked(Resolution),
}

/// What an operator decided about a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The id of the parked record.
    pub parked: Uuid,
    /// Whether it is applied.
    pub verdict: Verdict,
    /// Who decided.
    pub by: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// Whether a parked record is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Release {
        /// Why, if that was said.
        reason: Option<String>,
    },
    /// It never is.
    Discard {
        /// Why.
        reason: String,
    },
}
