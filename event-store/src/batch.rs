//! The work given to the executor, and its outcomes.

mod by_hand;
mod receipts;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{
    ClaimRejection, Command, Event, Rejection, Resolution, Reward, UserTasks, Verdict,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::states::SetKey;

pub use by_hand::{HandChange, HandReceipt, RequestKey};
pub use receipts::{Receipt, ReceiptLine};

/// Work applied in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Each user's items are applied in this order.
    pub items: Vec<Item>,
    /// Checkpoints that move in the same transaction.
    pub checkpoints: Vec<CheckpointMove>,
}

/// One piece of work for one lane.
#[derive(Debug, Clone)]
pub struct Item {
    /// The lane of the item's user; for a record that names no user, the lane of its partition.
    pub lane: Lane,
    /// The work to do.
    pub work: Work,
    /// The source of the work.
    pub origin: Origin,
}

/// The kinds of work.
#[derive(Debug, Clone)]
pub enum Work {
    /// Decide an action.
    Action(Action),
    /// Count an action from before a task was published, for this task only.
    CountPast {
        /// The task.
        task: TaskId,
        /// The action.
        action: Action,
        /// Ids under which the action would be parked, each with its lane. An action that is still
        /// parked or was discarded does not count.
        parked_as: Vec<(Lane, Uuid)>,
    },
    /// Store the lane's boundary for the tasks with open backfills. Any other work of the lane does
    /// this too.
    SettleBackfills,
    /// Grant the rewards that the backfill of a task holds for a user.
    ReleaseBackfill {
        /// The user.
        user: UserId,
        /// The task.
        task: TaskId,
        /// The operator.
        by: String,
        /// The reason.
        reason: Option<String>,
        /// The time at which the request arrived.
        at: Timestamp,
    },
    /// Hand out the rewards of one milestone.
    Claim {
        /// The user.
        user: UserId,
        /// The task.
        task: TaskId,
        /// The period; absent: the oldest with something to claim.
        period: Option<PeriodKey>,
        /// The milestone; absent: the lowest with something to claim.
        milestone: Option<i64>,
        /// The time at which the claim arrived.
        at: Timestamp,
        /// A retry with the same key returns the first receipt.
        idempotency_key: Option<String>,
    },
    /// Hand out everything that can be claimed.
    ClaimAll {
        /// The user.
        user: UserId,
        /// The time at which the claim arrived.
        at: Timestamp,
        /// A retry with the same key returns the first answer.
        idempotency_key: Option<String>,
    },
    /// Change something of a user by hand: a [`Command::GrantFreezes`] or a [`Command::Correct`].
    ByHand {
        /// The user, and the key by which a repeat is recognised.
        key: RequestKey,
        /// The change.
        command: Box<Command>,
        /// The reward to revoke, if it was still unclaimed when it was looked up.
        revoked: Option<Box<Reward>>,
    },
    /// Note that grants were handed to the paying system.
    StartDeliveries {
        /// The user.
        user: UserId,
        /// The rewards that were handed over.
        rewards: Vec<Reward>,
    },
    /// Note the outcomes of deliveries, as far as they are new.
    SettleDeliveries {
        /// The user.
        user: UserId,
        /// Grants, each with its outcome.
        settled: Vec<(Uuid, Verdict)>,
        /// The time at which the outcomes were known.
        at: Timestamp,
    },
    /// Hand a reward to the paying system again.
    Redeliver {
        /// The user.
        user: UserId,
        /// The grant.
        grant: Uuid,
        /// The operator.
        by: String,
        /// The operator's reason.
        reason: String,
        /// The time at which the request arrived.
        at: Timestamp,
        /// Also redeliver if the reward was delivered: for a payer that has lost its records.
        even_if_delivered: bool,
        /// Use the channel that the reward was already sent by, if there is one, whatever the
        /// settings say.
        keeps_payer: bool,
    },
    /// Record the effects of time alone: unclaimed rewards that are due, and streaks that were
    /// protected or broke. Also grants rewards that waited for budgets and now fit.
    Settle {
        /// The user.
        user: UserId,
        /// The tasks whose streaks are checked.
        streaks: BTreeSet<TaskId>,
        /// The time up to which effects are recorded.
        as_of: Timestamp,
    },
    /// Park a record.
    Park(ParkedRecord),
    /// Release or discard a parked record.
    ResolveParked(ParkedResolution),
}

/// An operator's decision about a parked record, with its effect on the user.
#[derive(Debug, Clone)]
pub struct ParkedResolution {
    /// The decision. It becomes an event of the user.
    pub decision: Resolution,
    /// The user; absent if the record names none, and then only its row records the decision.
    pub user: Option<UserId>,
    /// The actions that a release applies to the user, in order.
    pub actions: Vec<Action>,
}

/// The source of a piece of work.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A Kafka record. Offsets below the lane's stored offset of the partition were applied before.
    Record(SourcePosition),
    /// An HTTP request, with an id of its own.
    Request(Uuid),
    /// A follower of the log.
    Follower,
    /// The sweeper, which records the effects of time.
    Sweeper,
    /// A backfill. Runs only while no other work waits.
    Backfill {
        /// The task.
        task: TaskId,
        /// The record that is read again. Recorded in the metadata; moves no offset.
        from: Option<SourcePosition>,
    },
    /// A parked record that an operator released or discarded.
    Parked {
        /// Its id.
        id: Uuid,
        /// The source of the record; absent for HTTP requests. Recorded in the metadata; moves no
        /// offset.
        from: Option<SourcePosition>,
    },
}

/// Topic, partition and offset of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourcePosition {
    /// The topic.
    pub topic: Arc<str>,
    /// The number of times the topic was recreated and accepted again.
    pub incarnation: i32,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record, or an action, that could not be understood or applied.
#[derive(Debug, Clone)]
pub struct ParkedRecord {
    /// Derived from the source, so that reading it again adds nothing.
    pub id: Uuid,
    /// The reason, for an operator.
    pub reason: String,
    /// True if the cause can be repaired, so that a later release may succeed.
    pub repairable: bool,
    /// The user, if known.
    pub user: Option<UserId>,
    /// The headers of the record, or the fields of the request, as JSON.
    pub headers: serde_json::Value,
    /// The value of the record.
    pub bytes: Vec<u8>,
}

/// The outcome of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The action was decided, or the deliveries were noted. The user's state may be unchanged.
    Accepted,
    /// An action with this identity was decided before.
    Duplicate,
    /// The record was applied before.
    AlreadyApplied,
    /// The outcome of a past action, or of a release of held rewards.
    Past(PastOutcome),
    /// The item was parked.
    Parked {
        /// The id of the parked record.
        id: Uuid,
        /// The reason.
        reason: String,
    },
    /// The parked record is released or discarded.
    ParkedResolved {
        /// The number of its actions that were applied.
        applied: usize,
        /// The number of its actions that had been applied before.
        duplicates: usize,
    },
    /// There is no such parked record, or it was released or discarded before.
    NotParked,
    /// The parked record waits behind an earlier one of its user.
    Behind(Uuid),
    /// The rewards were claimed, by this request or by an earlier one that it repeats.
    Claimed(Receipt),
    /// The claim was rejected.
    ClaimRejected(ClaimRejection),
    /// Everything was claimed.
    ClaimedAll {
        /// One receipt per claimed milestone; may be empty.
        receipts: Vec<Receipt>,
        /// True if there is more to claim.
        more: bool,
    },
    /// The manual change was made, by this request or by an earlier one that it repeats.
    ChangedByHand(HandReceipt),
    /// The deliveries are noted, except for these grants: they were revoked and must not be sent.
    Revoked(Vec<Uuid>),
    /// The rules rejected the command.
    Rejected(Rejection),
    /// Nothing was done: the user's stored rows can't be read, or the database refused the item for
    /// a reason that a retry does not change. Holds the reason, for an operator.
    Failed(String),
}

/// The outcome of a past action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastOutcome {
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

/// Idempotency key of a claim. The same key sent by another user, or for another task, is a
/// different key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    /// The user who claims.
    pub user: UserId,
    /// The task; `None` for a claim of everything.
    pub task: Option<TaskId>,
    /// The key as the client sent it.
    pub key: String,
}

impl ClaimKey {
    /// The task as stored; empty for a claim of everything, because no task has an empty id.
    pub(crate) fn task_text(&self) -> &str {
        self.task.as_ref().map_or("", TaskId::as_str)
    }
}

/// An outcome, and a position at or after its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The outcome of the item.
    pub outcome: Outcome,
    /// The head of the lane after the batch.
    pub position: Position,
}

/// A move of a follower's checkpoint in one lane.
#[derive(Debug, Clone)]
pub struct CheckpointMove {
    /// The follower.
    pub follower: &'static str,
    /// The lane.
    pub lane: Lane,
    /// The epoch of the lease under which it moves. A process that lost its lease has an older
    /// epoch.
    pub epoch: i64,
    /// The expected position before the move.
    pub from: i64,
    /// The position after the move.
    pub to: i64,
}

/// The changes of a batch, for the read models that are folded in its transaction.
#[derive(Debug, Default)]
pub struct Changes {
    /// Users with new events.
    pub users: Vec<ChangedUser>,
    /// The new events, in order.
    pub events: Vec<NewEvent>,
}

/// A user with new events.
#[derive(Debug)]
pub struct ChangedUser {
    /// The user's lane.
    pub lane: Lane,
    /// The user.
    pub user: UserId,
    /// The state after the batch.
    pub state: UserTasks,
    /// The sequence of the last event.
    pub sequence: i64,
    /// The tasks that the new events mention.
    pub touched: BTreeSet<TaskId>,
    /// The large value sets that were stored in rows of their own before the batch.
    pub stored_sets: BTreeSet<SetKey>,
    /// True if the user's zone may have changed.
    pub user_touched: bool,
    /// True if the state was folded from the log; then every row of the user may be outdated.
    pub refolded: bool,
}

/// An event on its way into the log.
#[derive(Debug)]
pub struct NewEvent {
    /// The lane.
    pub lane: Lane,
    /// The user.
    pub user: UserId,
    /// The sequence of the event in the user's stream.
    pub sequence: i64,
    /// The number of the event in the lane.
    pub position: i64,
    /// The fact.
    pub event: Event,
    /// The metadata: a flat object of strings, shared by the events of one command.
    pub metadata: Arc<str>,
}

/// Read models that are folded inside the batch's transaction.
#[async_trait]
pub trait BatchProjection: Send + Sync {
    /// Writes the rows that follow from the changes, with set-based statements.
    async fn apply(&self, changes: &Changes, connection: &mut PgConnection) -> sqlx::Result<()>;
}
