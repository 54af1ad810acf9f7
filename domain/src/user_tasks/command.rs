//! The input of one user's tasks: commands, which may be rejected, and actions, which can't be.

use jiff::Timestamp;
use uuid::Uuid;

use super::correction::{Correction, Credited};
use super::seed::Seed;
use crate::action::{Action, Verdict};
use crate::calendar::PeriodKey;
use crate::catalogue::definition::BackfillRewards;
use crate::ids::{TaskId, UserId};

/// A request to change something. It may be rejected.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Let go of the rewards that the backfill of a task holds back.
    ReleaseBackfill(BackfillRelease),
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
    /// Give the user freezes, which protect periods that end later.
    GrantFreezes {
        /// Whose.
        user: UserId,
        /// The task.
        task: TaskId,
        /// How many, at least 1. What exceeds the task's `max` is dropped.
        count: i64,
        /// Why.
        reason: Option<String>,
        /// Who grants them.
        by: Option<String>,
        /// When the wish arrived.
        at: Timestamp,
    },
    /// Record what time alone has brought about, of rewards and of the streaks that are loaded, and grant what waited for budgets and fits by now.
    Settle {
        /// Up to when.
        as_of: Timestamp,
    },
    /// Note that grants were handed to the paying system. What is known of already is not noted again.
    StartDeliveries {
        /// What was handed over, as it was granted.
        rewards: Vec<super::Reward>,
    },
    /// Note what became of deliveries, as far as it is not known by now.
    SettleDeliveries {
        /// Grants, each with its outcome.
        settled: Vec<(Uuid, Verdict)>,
        /// When that was known.
        at: Timestamp,
    },
    /// Hand a reward to the paying system again.
    Redeliver {
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
    /// Note that an operator released or discarded a parked record.
    ResolveParked(Resolution),
    /// Change something by hand.
    Correct(Correction),
}

/// An action as it is put to the rules. Unlike a command it can't be rejected.
#[derive(Debug, Clone, Copy)]
pub struct ActionInput<'a> {
    /// The action.
    pub action: &'a Action,
    /// The seed of all chance in the decision.
    pub seed: Seed,
    /// The facts known of the action that this one takes back. Absent: they were not looked up, and nothing is
    /// taken back.
    pub credited: Option<&'a Credited>,
}

/// An action that was decided before a task was published. It can't be rejected.
#[derive(Debug, Clone, Copy)]
pub struct PastAction<'a> {
    /// The task that counts it.
    pub task: &'a TaskId,
    /// The action.
    pub action: &'a Action,
    /// The seed of all chance in the decision.
    pub seed: Seed,
    /// The treatment of the rewards that it earns.
    pub rewards: BackfillRewards,
    /// The time of counting. Rewards that expire after a time do so after this one.
    pub counted_at: Timestamp,
}

/// The wish of an operator to grant what the backfill of a task holds back of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRelease {
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The seed of all chance in the decision.
    pub seed: Seed,
    /// The operator.
    pub by: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// The time at which the request arrived.
    pub at: Timestamp,
}

/// What an operator decided about a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The id of the parked record.
    pub parked: Uuid,
    /// Whether it is applied.
    pub verdict: ParkedVerdict,
    /// Who decided.
    pub by: String,
    /// When it was decided.
    pub at: Timestamp,
}

/// Whether a parked record is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkedVerdict {
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
