//! The work given to the executor, and its answers.

mod answers;
mod by_hand;
mod kinds;
mod receipts;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Event, UserTasks};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::states::SetKey;

pub use answers::{
    ActionAnswer, ClaimAnswer, ClaimedAll, HandAnswer, NotApplied, PastAnswer, RedeliverAnswer,
    ReleaseAnswer, ResolveAnswer, Settled, StartedDeliveries,
};
pub use by_hand::{HandChange, HandReceipt, RequestKey};
pub(crate) use kinds::Decide;
pub use kinds::{Answer, Kind, Work};
pub use receipts::{Receipt, ReceiptLine};
pub use work::{
    ByHand, Claim, ClaimAll, CountPast, Incoming, Redeliver, ReleaseBackfill, ResolveParked,
    Settle, SettleBackfills, SettleDeliveries, StartDeliveries,
};

/// Work applied in one transaction.
#[derive(Debug, Clone)]
pub struct Batch<K = Work> {
    /// Each user's items are applied in this order.
    pub items: Vec<Item<K>>,
    /// Checkpoints that move in the same transaction.
    pub checkpoints: Vec<CheckpointMove>,
}

/// One piece of work for one lane.
#[derive(Debug, Clone)]
pub struct Item<K = Work> {
    /// The lane of the item's user; for a record that names no user, the lane of its partition.
    pub lane: Lane,
    /// The work to do.
    pub work: K,
    /// The source of the work.
    pub origin: Origin,
}

/// The source of a piece of work.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A Kafka record. Offsets below the lane's stored offset of the partition were applied before.
    /// Only [`Incoming`] work comes from records.
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

/// The answer to an item, and a position at or after its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied<A = Answer> {
    /// The answer.
    pub answer: A,
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
