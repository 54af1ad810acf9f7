//! What is put to the executor, and what comes back.

mod by_hand;

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{
    ClaimRejection, ClaimedMilestone, Command, Event, Rejection, Resolution, Reward, UserTasks,
    Verdict,
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::states::SetKey;

pub use by_hand::{HandChange, HandReceipt, RequestKey};

/// Work that is applied in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// In order; each user's items are applied in this order.
    pub items: Vec<Item>,
    /// Checkpoints that move with it.
    pub checkpoints: Vec<CheckpointMove>,
}

/// One piece of work for one lane.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where its user lies; records that name no user lie in the lane of their partition.
    pub lane: Lane,
    /// What to do.
    pub work: Work,
    /// Where it came from.
    pub origin: Origin,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum Work {
    /// Judge an action.
    Action(Action),
    /// Count an action that was judged before a task was published, for this task only.
    CountPast {
        /// The task.
        task: TaskId,
        /// The action.
        action: Action,
        /// The ids under which it would be parked, each in its lane: what is parked still, or was discarded, does
        /// not count.
        parked_as: Vec<(Lane, Uuid)>,
    },
    /// Settle what the lane applied before the tasks with open backfills were published. Any other work of the lane
    /// does so too.
    SettleBackfills,
    /// Grant what the backfill of a task holds back of a user.
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
        /// Whose.
        user: UserId,
        /// Of which task.
        task: TaskId,
        /// Of which period; absent: the oldest with something to claim.
        period: Option<PeriodKey>,
        /// Which milestone; absent: the lowest with something to claim.
        milestone: Option<i64>,
        /// When the claim arrived.
        at: Timestamp,
        /// A retry under the same key gets the first receipt.
        idempotency_key: Option<String>,
    },
    /// Hand out everything that can be claimed.
    ClaimAll {
        /// Whose.
        user: UserId,
        /// When the claim arrived.
        at: Timestamp,
        /// A retry under the same key gets the first answer.
        idempotency_key: Option<String>,
    },
    /// Change something of a user by hand: a [`Command::GrantFreezes`] or a [`Command::Correct`].
    ByHand {
        /// The user, and the key by which a repeat is recognised.
        key: RequestKey,
        /// The change.
        command: Box<Command>,
        /// The reward that a revocation takes back, if nobody had claimed it when it was found.
        revoked: Option<Box<Reward>>,
    },
    /// Note that grants were handed to the paying system.
    StartDeliveries {
        /// Whose.
        user: UserId,
        /// What was handed over.
        rewards: Vec<Reward>,
    },
    /// Note what became of deliveries, as far as that is news.
    SettleDeliveries {
        /// Whose.
        user: UserId,
        /// Grants, each with its outcome.
        settled: Vec<(Uuid, Verdict)>,
        /// When that was known.
        at: Timestamp,
    },
    /// Hand a reward to the paying system again.
    Redeliver {
        /// Whose.
        user: UserId,
        /// The grant.
        grant: Uuid,
        /// Who wants it.
        by: String,
        /// Why.
        reason: String,
        /// When the wish arrived.
        at: Timestamp,
        /// Also if it was delivered before: for a payer that has forgotten what it paid.
        even_if_delivered: bool,
        /// By the channel that it was sent by already, if there is one, whatever the settings say.
        keeps_payer: bool,
    },
    /// Record what time alone has brought about: unclaimed rewards that are due, and streaks that were protected or
    /// broke. Grants what waited for budgets and fits by now.
    Settle {
        /// Whose.
        user: UserId,
        /// The tasks whose streaks are looked at.
        streaks: BTreeSet<TaskId>,
        /// Up to when.
        as_of: Timestamp,
    },
    /// Park a record.
    Park(ParkedRecord),
    /// Release or discard a parked record.
    ResolveParked(ParkedResolution),
}

/// What an operator decided about a parked record, with what it means for its user.
#[derive(Debug, Clone)]
pub struct ParkedResolution {
    /// The decision. It becomes an event of the user.
    pub decision: Resolution,
    /// The user; absent: the record names none, and the row alone says what was decided.
    pub user: Option<UserId>,
    /// What a release applies for the user, in order.
    pub actions: Vec<Action>,
}

/// Where a piece of work came from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A Kafka record. What lies below the lane's offset of its partition was applied before.
    Record(SourcePosition),
    /// An HTTP request, by an id of its own.
    Request(Uuid),
    /// A follower of the log.
    Follower,
    /// The sweeper, which records what time alone brings about.
    Sweeper,
    /// A backfill. It waits until nothing else does.
    Backfill {
        /// The task.
        task: TaskId,
        /// The record that is read again. It is told, and moves no offset.
        from: Option<SourcePosition>,
    },
    /// A parked record that an operator released or discarded.
    Parked {
        /// Its id.
        id: Uuid,
        /// Where the record came from; absent for HTTP requests. It is told, and moves no offset.
        from: Option<SourcePosition>,
    },
}

/// Topic, partition and offset of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourcePosition {
    /// The topic.
    pub topic: Arc<str>,
    /// How often the topic was accepted anew after it had been created again.
    pub incarnation: i32,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// A record, or an action, that could not be understood or applied.
#[derive(Debug, Clone)]
pub struct ParkedRecord {
    /// Derived from where it came from, so that reading it again adds nothing.
    pub id: Uuid,
    /// Why, for an operator.
    pub reason: String,
    /// Whether someone can mend the cause, so that releasing it helps.
    pub repairable: bool,
    /// The user, where one is known.
    pub user: Option<UserId>,
    /// Its headers, or the fields of the request, as JSON.
    pub headers: serde_json::Value,
    /// Its value.
    pub bytes: Vec<u8>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The action was judged, or the deliveries noted. It may have moved nothing.
    Accepted,
    /// An action with this identity was judged before.
    Duplicate,
    /// The record was applied before.
    AlreadyApplied,
    /// A past action, or the release of what past actions earned.
    Past(PastOutcome),
    /// It was parked under this id.
    Parked {
        /// To find it by.
        id: Uuid,
        /// Why.
        reason: String,
    },
    /// The parked record is released or discarded.
    ParkedResolved {
        /// How many of its actions were applied.
        applied: usize,
        /// How many had been applied before.
        duplicates: usize,
    },
    /// There is no such parked record, or it was released or discarded before.
    NotParked,
    /// The parked record waits behind an earlier one of its user.
    Behind(Uuid),
    /// The rewards were taken, now or by an earlier request that this one repeats.
    Claimed(Receipt),
    /// The claim took nothing.
    ClaimRejected(ClaimRejection),
    /// A claim of everything.
    ClaimedAll {
        /// One for each milestone that was taken, maybe none.
        receipts: Vec<Receipt>,
        /// Whether there is more to claim.
        more: bool,
    },
    /// Something was changed by hand, now or by an earlier request that this one repeats.
    ChangedByHand(HandReceipt),
    /// The deliveries are noted but for these grants, which were revoked: they must not be sent.
    Revoked(Vec<Uuid>),
    /// The rules said no.
    Rejected(Rejection),
    /// Nothing was done: what is stored of the user can't be read, or the database took it for no
    /// reason that asking again changes. Says why, for an operator.
    Failed(String),
}

/// The outcome of a past action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastOutcome {
    /// It moved the task.
    Moved,
    /// It was judged and moved nothing.
    Unmoved,
    /// The task was there when its record was read: it was judged live.
    Live,
    /// The task has judged an action with this identity.
    Known,
    /// It is parked, and judged once it is released; or it was discarded.
    Parked,
    /// The backfill is over, or its task takes no actions at the moment. It was not judged.
    Closed,
}

/// An idempotency key: of whom, and for what. A key of one request is none of another's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    /// Who claims.
    pub user: UserId,
    /// Of which task; `None`: of all.
    pub task: Option<TaskId>,
    /// As sent.
    pub key: String,
}

impl ClaimKey {
    /// The task as stored: no task has an empty id.
    pub(crate) fn task_text(&self) -> &str {
        self.task.as_ref().map_or("", TaskId::as_str)
    }
}

/// An outcome, and a position at or after its effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// What became of the item.
    pub outcome: Outcome,
    /// The head of the lane after the batch.
    pub position: Position,
}

/// The proof of a claim. A repeated claim returns it unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who claimed.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The period.
    pub period: PeriodKey,
    /// The milestone.
    pub milestone: i64,
    /// Where the claim stands in the log.
    pub position: String,
    /// When the claim arrived.
    pub claimed_at: Timestamp,
    /// What was taken.
    pub rewards: Vec<ReceiptLine>,
}

/// One line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptLine {
    /// The id of the grant.
    pub grant: Uuid,
    /// Names the line within its milestone.
    pub line: String,
    /// For the payer.
    pub kind: String,
    /// For the payer.
    pub code: String,
    /// How many.
    pub amount: i64,
    /// `claimed`: as of the receipt.
    pub state: String,
}

impl Receipt {
    /// The receipt of an earlier claim; `None` if the event is none.
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

    /// The receipt of a claim.
    pub fn new(user: &UserId, claimed: &ClaimedMilestone, position: Position) -> Self {
        let line = |r: &Reward| ReceiptLine {
            grant: r.grant,
            line: r.line.clone(),
            kind: r.kind.clone(),
            code: r.code.clone(),
            amount: r.amount,
            state: "claimed".to_owned(),
        };
        Self {
            user: user.clone(),
            task: claimed.task.clone(),
            period: claimed.period.key.clone(),
            milestone: claimed.milestone,
            position: position.to_string(),
            claimed_at: claimed.at,
            rewards: claimed.rewards.iter().map(line).collect(),
        }
    }
}

/// A follower's step in one lane.
#[derive(Debug, Clone)]
pub struct CheckpointMove {
    /// The follower.
    pub follower: &'static str,
    /// The lane.
    pub lane: Lane,
    /// The epoch of the lease under which it moves. A process that lost its lease has an older one.
    pub epoch: i64,
    /// Where it must stand.
    pub from: i64,
    /// Where it then stands.
    pub to: i64,
}

/// What a batch changed, for the read models that are folded in its transaction.
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
    /// Where the user lies.
    pub lane: Lane,
    /// Who.
    pub user: UserId,
    /// The state after the batch.
    pub state: UserTasks,
    /// The sequence of the last event.
    pub sequence: i64,
    /// The tasks that the new events speak of.
    pub touched: BTreeSet<TaskId>,
    /// The large sets of values that had rows of their own before the batch.
    pub stored_sets: BTreeSet<SetKey>,
    /// Whether the user's zone may have changed.
    pub user_touched: bool,
    /// Whether the state was folded from the log: then every row of the user may be behind.
    pub refolded: bool,
}

/// An event on its way into the log.
#[derive(Debug)]
pub struct NewEvent {
    /// The lane.
    pub lane: Lane,
    /// The user.
    pub user: UserId,
    /// Its place in the user's stream.
    pub sequence: i64,
    /// Its place in the lane.
    pub position: i64,
    /// The fact.
    pub event: Event,
    /// What is about it: a flat object of strings, shared by the events of one command.
    pub metadata: Arc<str>,
}

/// Read models that are folded inside the batch's transaction.
#[async_trait]
pub trait BatchProjection: Send + Sync {
    /// Writes the rows that follow from the changes, with set-based statements.
    async fn apply(&self, changes: &Changes, connection: &mut PgConnection) -> sqlx::Result<()>;
}
