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
    /// Release the rewards that the backfill of a task holds back.
    ReleaseBackfill(BackfillRelease),
    /// Hand out the rewards of one milestone.
    ClaimRewards {
        /// The user.
        user: UserId,
        /// The task.
        task: TaskId,
        /// The period; absent: the oldest with something to claim.
        period: Option<PeriodKey>,
        /// The milestone; absent: the lowest with something to claim.
        milestone: Option<i64>,
        /// The time at which the request arrived.
        claimed_at: Timestamp,
    },
    /// Record the effects of time alone on rewards and on the streaks that are loaded, and grant
    /// the rewards that waited for a budget and fit by now.
    Settle {
        /// The instant up to which effects are recorded.
        as_of: Timestamp,
    },
    /// Note that grants were handed to the paying system. Grants already noted are skipped.
    StartDeliveries {
        /// The rewards handed over, as they were granted.
        rewards: Vec<super::Reward>,
    },
    /// Note the outcomes of deliveries. Outcomes already noted are skipped.
    SettleDeliveries {
        /// The grants, each with its outcome.
        settled: Vec<(Uuid, Verdict)>,
        /// The time at which the outcomes were known.
        at: Timestamp,
    },
    /// Hand a reward to the paying system again.
    Redeliver(Redelivery),
    /// Note that an operator released or discarded a parked record.
    ResolveParked(Resolution),
    /// Change something by hand.
    ByHand(HandCommand),
}

/// A request of an operator to change something of a user by hand.
#[derive(Debug, Clone, PartialEq)]
pub enum HandCommand {
    /// Give the user freezes, which protect periods that end later.
    GrantFreezes {
        /// The user.
        user: UserId,
        /// The task.
        task: TaskId,
        /// The number of freezes, at least 1. Freezes beyond the task's `max` are dropped.
        count: i64,
        /// The reason.
        reason: Option<String>,
        /// The operator.
        by: Option<String>,
        /// The time at which the request arrived.
        at: Timestamp,
    },
    /// Change progress, a streak or grants.
    Correct(Correction),
}

/// A request of an operator to hand a reward to the paying system again.
#[derive(Debug, Clone, PartialEq)]
pub struct Redelivery {
    /// The grant.
    pub grant: Uuid,
    /// The operator.
    pub by: String,
    /// The reason.
    pub reason: String,
    /// The time at which the request arrived.
    pub at: Timestamp,
    /// True to hand it over even if it was delivered before: for a payer that has lost its
    /// records.
    pub even_if_delivered: bool,
    /// True to send it by the channel that it was sent by before, if there is one, whatever the
    /// settings say.
    pub keeps_payer: bool,
}

/// An action as it is put to the rules. Unlike a command it can't be rejected.
#[derive(Debug, Clone, Copy)]
pub struct ActionInput<'a> {
    /// The action.
    pub action: &'a Action,
    /// The seed of all chance in the decision.
    pub seed: Seed,
    /// The facts of the earlier action that this one reverses. Absent: they were not looked up, and
    /// nothing is taken back.
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
    /// The treatment of the rewards that the action earns.
    pub rewards: BackfillRewards,
    /// The time of counting. Rewards that expire after a time count it from here.
    pub counted_at: Timestamp,
}

/// An operator's request to grant the rewards of one user that the backfill of a task holds back.
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

/// An operator's decision about a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The id of the parked record.
    pub parked: Uuid,
    /// The decision.
    pub verdict: ParkedVerdict,
    /// The operator.
    pub by: String,
    /// The time of the decision.
    pub at: Timestamp,
}

/// The decision to apply or to discard a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkedVerdict {
    /// The record is applied.
    Release {
        /// The reason, if one was given.
        reason: Option<String>,
    },
    /// The record is never applied.
    Discard {
        /// The reason.
        reason: String,
    },
}
