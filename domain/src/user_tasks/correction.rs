//! Corrections by operators, and what is known of an action that a producer reverses.

use jiff::Timestamp;
use uuid::Uuid;

use super::event::{Event, grant_id};
use super::seed::Seed;
use crate::calendar::PeriodKey;
use crate::catalogue::definition::Payout;
use crate::ids::{TaskId, UserId};

/// A change that an operator makes by hand. The operator and the reason are part of the facts that
/// follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Correction {
    /// The user.
    pub user: UserId,
    /// The change.
    pub change: Change,
    /// The operator: the `sub` of a token, or a user of the operating system.
    pub by: String,
    /// The reason.
    pub reason: String,
    /// The time at which the request arrived.
    pub at: Timestamp,
    /// The seed of all chance in the decision.
    pub seed: Seed,
}

/// The change that a correction makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Grants a reward that no task promised. Another grant of the same line is the same grant.
    Grant {
        /// The name that distinguishes the user's grants by hand.
        line: String,
        /// The reward to grant.
        payout: Payout,
    },
    /// Takes back a reward that was not handed to the paying system, or that failed there.
    Revoke {
        /// The grant.
        grant: Uuid,
        /// True to take back all lines of its milestone, if nobody has claimed them yet.
        whole_milestone: bool,
    },
    /// Changes the progress of an open period, up or down.
    Adjust {
        /// The task.
        task: TaskId,
        /// The period; absent: the one that contains the moment of the request.
        period: Option<PeriodKey>,
        /// The new value, or the difference.
        adjustment: Adjustment,
    },
    /// Completes an open period, whether the task is locked or not.
    Complete {
        /// The task.
        task: TaskId,
        /// The period; absent: the one that contains the moment of the request.
        period: Option<PeriodKey>,
    },
    /// Starts an open period over, and for a continuous task the streak.
    Reset {
        /// The task.
        task: TaskId,
        /// The period; absent: the one that contains the moment of the request.
        period: Option<PeriodKey>,
    },
    /// Fills a missed period of a streak, as a make-up does.
    Restore {
        /// The task.
        task: TaskId,
        /// The period.
        period: PeriodKey,
    },
}

impl Correction {
    /// The id of the grant that this correction makes; `None` if it grants nothing by hand.
    pub fn grant_by_hand(&self) -> Option<Uuid> {
        let Change::Grant { line, .. } = &self.change else { return None };
        let (task, period) = (by_hand(), Self::period_by_hand());
        Some(grant_id(&self.user, &task, &period, 0, line))
    }

    /// The period of all grants by hand.
    pub(super) fn period_by_hand() -> PeriodKey {
        "once".to_owned().into()
    }
}

/// Returns [`BY_HAND`] as an id.
pub(super) fn by_hand() -> TaskId {
    BY_HAND.parse().expect("it is written as ids are")
}

impl Change {
    /// The name of the change in the metadata of its events.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "grant",
            Self::Revoke { .. } => "revoke",
            Self::Adjust { .. } => "adjust",
            Self::Complete { .. } => "complete",
            Self::Reset { .. } => "reset",
            Self::Restore { .. } => "restore",
        }
    }

    /// The task whose progress is changed; `None` for changes of grants.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Self::Grant { .. } | Self::Revoke { .. } => None,
            Self::Adjust { task, .. }
            | Self::Complete { task, .. }
            | Self::Reset { task, .. }
            | Self::Restore { task, .. } => Some(task),
        }
    }
}

/// An adjustment of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adjustment {
    /// A difference; below zero for a refund. Progress never falls below zero.
    By(i64),
    /// The new value.
    To(i64),
}

/// The task under which grants by hand are listed and paid. No catalogue has it.
pub const BY_HAND: &str = "plaudit.by-hand";

/// The facts known of an action that is to be reversed.
#[derive(Debug, Clone, PartialEq)]
pub enum Credited {
    /// No such action was decided, or so long ago that it is forgotten.
    Unknown,
    /// The action was reversed before.
    ReversedBefore,
    /// The facts of the action, in order.
    Facts(Vec<Event>),
}
