//! The answers to work, one type for each kind.

use plaudit_domain::user_tasks::{ClaimRejection, Rejection};
use uuid::Uuid;

use super::{HandReceipt, Receipt};

/// The reason why nothing was done, for an operator: the user's stored rows can't be read, or the
/// work can't be applied for a reason that a retry does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotApplied(pub String);

/// The answer to an action, or to a record to park. The rules reject no action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionAnswer {
    /// The action was decided. The user's state may be unchanged.
    Accepted,
    /// An action with this identity was decided before.
    Duplicate,
    /// The Kafka record was applied before.
    AlreadyApplied,
    /// The action or the record was parked.
    Parked {
        /// The id of the parked record.
        id: Uuid,
        /// The reason.
        reason: String,
    },
}

/// The answer to a past action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastAnswer {
    /// The action moved the task.
    Moved,
    /// The action was decided and moved nothing.
    Unmoved,
    /// The task existed when the record was first read, so the action was decided live.
    Live,
    /// The task has decided an action with this identity before.
    Known,
    /// The action is parked, and is decided on release; or it was discarded.
    Parked,
    /// The action was taken back.
    Reversed,
    /// The backfill is over, or its task takes no actions at the moment. The action was not
    /// decided.
    Closed,
}

/// The answer to the release of the rewards that a backfill holds for a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseAnswer {
    /// Rewards were granted.
    Granted,
    /// The backfill holds nothing for the user.
    NothingHeld,
}

/// The answer to a claim of one milestone.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimAnswer {
    /// The rewards were claimed, by this request or by an earlier one that it repeats.
    Claimed(Receipt),
    /// The rules rejected the claim.
    Rejected(ClaimRejection),
}

/// The answer to a claim of everything.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedAll {
    /// One receipt per claimed milestone; may be empty.
    pub receipts: Vec<Receipt>,
    /// True if there is more to claim.
    pub more: bool,
}

/// The answer to a change by hand.
#[derive(Debug, Clone, PartialEq)]
pub enum HandAnswer {
    /// The change was made, by this request or by an earlier one that it repeats.
    Changed(HandReceipt),
    /// The rules rejected the change.
    Rejected(Rejection),
}

/// The answer to the note that grants were handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedDeliveries {
    /// The grants among them that were revoked and must not be sent. All others are noted.
    pub revoked: Vec<Uuid>,
}

/// The answer to the request to hand a reward over again.
#[derive(Debug, Clone, PartialEq)]
pub enum RedeliverAnswer {
    /// The reward will be handed over again.
    Accepted,
    /// The rules rejected the request.
    Rejected(Rejection),
}

/// The answer to the request to record the effects of time on a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The number of events that record them.
    pub events: usize,
}

/// The answer to an operator's decision about a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolveAnswer {
    /// The record is released or discarded.
    Resolved {
        /// The number of its actions that were applied.
        applied: usize,
        /// The number of its actions that had been applied before.
        duplicates: usize,
    },
    /// There is no such parked record, or it was released or discarded before.
    NotParked,
    /// The record waits behind this earlier one of its user.
    Behind(Uuid),
    /// The record can't be applied, for this reason, and stays parked.
    StaysParked(String),
}
