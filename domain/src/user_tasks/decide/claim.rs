//! Claims: the user takes what a milestone granted.

use jiff::Timestamp;
use uuid::Uuid;

use crate::calendar::{Period, PeriodKey};
use crate::catalogue::{Catalogue, CatalogueTask};
use crate::ids::TaskId;
use crate::user_tasks::event::{Event, Reward};
use crate::user_tasks::reward_state::RewardState;
use crate::user_tasks::state::{ClaimableMilestone, UserTasks};

/// The reason why a command was rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandRejection {
    /// A claim was rejected.
    #[error(transparent)]
    Claim(#[from] ClaimRejection),
    /// An operator's request was rejected.
    #[error(transparent)]
    Operator(#[from] Rejection),
}

/// The reason why an operator's request was rejected: a change by hand, or a redelivery. Part of
/// the rules: tests compare it, clients see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The catalogue never had such a task.
    #[error("unknown task {task}")]
    UnknownTask {
        /// The requested task.
        task: TaskId,
    },
    /// The task has no streak, so no freeze could protect it and nothing can be restored.
    #[error("task {task} is not continuous: it has no streak")]
    NoStreak {
        /// The task.
        task: TaskId,
    },
    /// The task has no such period.
    #[error("{period:?} is not a period of task {task}")]
    UnknownPeriod {
        /// The task.
        task: TaskId,
        /// The requested period.
        period: String,
    },
    /// Nothing was granted under this id.
    #[error("unknown grant {grant}")]
    UnknownGrant {
        /// The requested grant.
        grant: Uuid,
    },
    /// The progress can't be corrected in this way.
    #[error("task {task} can't be corrected: {reason}")]
    NotCorrectable {
        /// The task.
        task: TaskId,
        /// The reason, and what to do instead.
        reason: String,
    },
    /// The reward can't be taken back.
    #[error("grant {grant} is {} and can't be revoked: {reason}", .state.as_str())]
    NotRevocable {
        /// The grant.
        grant: Uuid,
        /// Its state.
        state: RewardState,
        /// The reason, and what to do instead.
        reason: &'static str,
    },
    /// The reward can't be handed to the paying system in its state.
    #[error("grant {grant} is {} and can't be delivered again", .state.as_str())]
    NotRedeliverable {
        /// The grant.
        grant: Uuid,
        /// Its state.
        state: RewardState,
    },
}

/// The reason why a claim is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimRejection {
    /// The catalogue never had such a task.
    #[error("unknown task {task}")]
    UnknownTask {
        /// The requested task.
        task: TaskId,
    },
    /// No version of the task has such a milestone.
    #[error("task {task} has no milestone {milestone}")]
    UnknownMilestone {
        /// The task.
        task: TaskId,
        /// The requested milestone.
        milestone: i64,
    },
    /// The task has no such period.
    #[error("{period:?} is not a period of task {task}")]
    UnknownPeriod {
        /// The task.
        task: TaskId,
        /// The requested period.
        period: String,
    },
    /// There is nothing to claim, or no longer.
    #[error("there is nothing to claim for task {task}")]
    NothingClaimable {
        /// The task.
        task: TaskId,
    },
}

/// A claim of one milestone.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'c> {
    /// The task.
    pub task: &'c TaskId,
    /// The period; absent: the oldest with something to claim.
    pub period: Option<&'c PeriodKey>,
    /// The milestone; absent: the lowest with something to claim.
    pub milestone: Option<i64>,
    /// The time at which the claim arrived.
    pub at: Timestamp,
}

/// A milestone whose rewards a claim takes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedMilestone {
    /// The task.
    pub task: TaskId,
    /// The version that promised the rewards.
    pub version: u32,
    /// The period.
    pub period: Period,
    /// The milestone.
    pub milestone: i64,
    /// The time at which the claim arrived.
    pub at: Timestamp,
    /// The rewards, as promised.
    pub rewards: Vec<Reward>,
}

impl From<ClaimedMilestone> for Event {
    fn from(claimed: ClaimedMilestone) -> Self {
        let ClaimedMilestone { task, version, period, milestone, at, rewards } = claimed;
        Self::RewardsClaimed { task, version, period, milestone, at, rewards }
    }
}

/// Decides which milestone a claim takes: the named one, else the oldest; always with all its
/// lines.
///
/// # Errors
///
/// A [`ClaimRejection`]: an answer, not a fault.
pub fn decide_claim(
    state: &UserTasks,
    request: &ClaimRequest<'_>,
    catalogue: &Catalogue,
) -> Result<ClaimedMilestone, ClaimRejection> {
    let ClaimRequest { task: task_id, period, milestone, at } = *request;
    let unknown = || ClaimRejection::UnknownTask { task: task_id.clone() };
    let task = catalogue.task(task_id).ok_or_else(unknown)?;
    let claimable = state.tasks.get(task_id).map_or(&[][..], |t| &t.claimable);
    let is_named = |c: &&ClaimableMilestone| {
        c.terms.lapsed(at).is_none()
            && period.is_none_or(|key| c.period.key == *key)
            && milestone.is_none_or(|at| c.at == at)
    };
    let oldest = claimable.iter().filter(is_named).min_by_key(|c| c.order());
    let Some(claimed) = oldest else {
        return Err(why_nothing(state, task, period, milestone));
    };
    // The rewards are those promised when it was reached, whatever the catalogue says by now.
    Ok(ClaimedMilestone {
        task: task_id.clone(),
        version: claimed.version,
        period: claimed.period.clone(),
        milestone: claimed.at,
        at,
        rewards: claimed.rewards.clone(),
    })
}

/// Returns why nothing can be claimed: no such milestone, no such period, or nothing there.
fn why_nothing(
    state: &UserTasks,
    task: &CatalogueTask,
    period: Option<&PeriodKey>,
    milestone: Option<i64>,
) -> ClaimRejection {
    let has =
        |at: i64| task.versions.iter().any(|v| v.definition.milestones.iter().any(|m| m.at == at));
    if let Some(milestone) = milestone.filter(|at| !has(*at)) {
        return ClaimRejection::UnknownMilestone { task: task.id.clone(), milestone };
    }
    let exists =
        |key: &PeriodKey| task.versions.iter().any(|v| v.period_named(key, &state.zones).is_some());
    match period.filter(|key| !exists(key)) {
        Some(key) => {
            ClaimRejection::UnknownPeriod { task: task.id.clone(), period: key.to_string() }
        }
        None => ClaimRejection::NothingClaimable { task: task.id.clone() },
    }
}
