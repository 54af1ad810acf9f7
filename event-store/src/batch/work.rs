//! The kinds of work, one type for each.

use std::collections::BTreeSet;

use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{HandCommand, Resolution, Reward, Verdict};
use uuid::Uuid;

use super::{ParkedRecord, RequestKey};

/// An action, or a record that is parked because it can't be read as one.
#[derive(Debug, Clone)]
pub enum Incoming {
    /// Decide an action.
    Action(Action),
    /// Park a record.
    Park(ParkedRecord),
}

/// Count an action from before a task was published, for this task only.
#[derive(Debug, Clone)]
pub struct CountPast {
    /// The task.
    pub task: TaskId,
    /// The action.
    pub action: Action,
    /// Ids under which the action would be parked, each with its lane. An action that is still
    /// parked or was discarded does not count.
    pub parked_as: Vec<(Lane, Uuid)>,
}

/// Store the lane's boundary for the tasks with open backfills. Any other work of the lane does
/// this too.
#[derive(Debug, Clone, Copy)]
pub struct SettleBackfills;

/// Grant the rewards that the backfill of a task holds for a user.
#[derive(Debug, Clone)]
pub struct ReleaseBackfill {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The operator.
    pub by: String,
    /// The reason.
    pub reason: Option<String>,
    /// The time at which the request arrived.
    pub at: Timestamp,
}

/// Hand out the rewards of one milestone.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The period; absent: the oldest with something to claim.
    pub period: Option<PeriodKey>,
    /// The milestone; absent: the lowest with something to claim.
    pub milestone: Option<i64>,
    /// The time at which the claim arrived.
    pub at: Timestamp,
    /// A retry with the same key returns the first receipt.
    pub idempotency_key: Option<String>,
}

/// Hand out everything that can be claimed.
#[derive(Debug, Clone)]
pub struct ClaimAll {
    /// The user.
    pub user: UserId,
    /// The time at which the claim arrived.
    pub at: Timestamp,
    /// A retry with the same key returns the first answer.
    pub idempotency_key: Option<String>,
}

/// Change something of a user by hand.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// The user, and the key by which a repeat is recognised.
    pub key: RequestKey,
    /// The change.
    pub command: Box<HandCommand>,
    /// The reward to revoke, if it was still unclaimed when it was looked up.
    pub revoked: Option<Box<Reward>>,
}

/// Note that grants were handed to the paying system.
#[derive(Debug, Clone)]
pub struct StartDeliveries {
    /// The user.
    pub user: UserId,
    /// The rewards that were handed over.
    pub rewards: Vec<Reward>,
}

/// Note the outcomes of deliveries, as far as they are new.
#[derive(Debug, Clone)]
pub struct SettleDeliveries {
    /// The user.
    pub user: UserId,
    /// Grants, each with its outcome.
    pub settled: Vec<(Uuid, Verdict)>,
    /// The time at which the outcomes were known.
    pub at: Timestamp,
}

/// Hand a reward to the paying system again.
#[derive(Debug, Clone)]
pub struct Redeliver {
    /// The user.
    pub user: UserId,
    /// The grant.
    pub grant: Uuid,
    /// The operator.
    pub by: String,
    /// The operator's reason.
    pub reason: String,
    /// The time at which the request arrived.
    pub at: Timestamp,
    /// Also redeliver if the reward was delivered: for a payer that has lost its records.
    pub even_if_delivered: bool,
    /// Use the channel that the reward was already sent by, if there is one, whatever the
    /// settings say.
    pub keeps_payer: bool,
}

/// Record the effects of time alone: unclaimed rewards that are due, and streaks that were
/// protected or broke. Also grants rewards that waited for budgets and now fit.
#[derive(Debug, Clone)]
pub struct Settle {
    /// The user.
    pub user: UserId,
    /// The tasks whose streaks are checked.
    pub streaks: BTreeSet<TaskId>,
    /// The time up to which effects are recorded.
    pub as_of: Timestamp,
}

/// Release or discard a parked record: an operator's decision, with its effect on the user.
#[derive(Debug, Clone)]
pub struct ResolveParked {
    /// The decision. It becomes an event of the user.
    pub decision: Resolution,
    /// The user; absent if the record names none, and then only its row records the decision.
    pub user: Option<UserId>,
    /// The actions that a release applies to the user, in order.
    pub actions: Vec<Action>,
}
