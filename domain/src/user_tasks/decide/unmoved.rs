//! The reasons why an action does not move a task.

use jiff::Timestamp;
use serde::Serialize;

use crate::ids::TaskId;

/// A task that an action of its type, or a completion that it counts, did not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmoved {
    /// The task.
    pub task: TaskId,
    /// The reason.
    pub reason: UnmovedReason,
}

/// The reason why a task did not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmovedReason {
    /// The task is paused or retired.
    #[error("the task is paused or retired")]
    NotActive,
    /// The version of the open period does not count this.
    #[error("the open period goes by version {0}, which does not count this")]
    NotSubscribed(u32),
    /// The user is not among those who have this version of the task.
    #[error("the user is outside the task's audience")]
    OutsideAudience(u32),
    /// The action is about another task.
    #[error("the action names another task")]
    OtherTask,
    /// The action's time lies outside the window.
    #[error("the action is outside the task's window")]
    OutsideWindow,
    /// The `where` of this version is false.
    #[error("`where` is false")]
    FilteredOut(u32),
    /// The `where` of this version names a field that the action or the user does not have.
    #[error("`where` did not match: {1}")]
    FieldMissing(u32, String),
    /// The `where` of this version can't be evaluated for this action: a wrong type, an overflow,
    /// or its allowance is used up.
    #[error("`where` can't be evaluated: {1}")]
    FilterFailed(u32, String),
    /// The period is completed.
    #[error("period {0} is completed")]
    Completed(String),
    /// Prerequisites are missing.
    #[error("locked by {}", .0.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", "))]
    Locked(Vec<TaskId>),
    /// The measure of the action is 0.
    #[error("there is nothing to credit: the measure is 0")]
    NothingToCredit,
    /// The period has used up this cap.
    #[error("the cap of {0} per period is used up")]
    CapUsedUp(i64),
    /// The value of a `max` is not above the highest one.
    #[error("{value} is not above {highest}, the highest value of the period")]
    NotHigher {
        /// The value of the action.
        value: i64,
        /// The highest value of the period so far.
        highest: i64,
    },
    /// A later action of a `latest` was counted before.
    #[error("the action of {0} is the latest one of the period")]
    NotLatest(Timestamp),
    /// The value of a `distinct`, the day, or the completed task is among those counted.
    #[error("the period has counted this value, day or task before")]
    CountedBefore,
}

impl UnmovedReason {
    /// The version whose `where` did not match the action; `None` for other reasons.
    pub fn filter_version(&self) -> Option<u32> {
        match self {
            Self::FilteredOut(version)
            | Self::FieldMissing(version, _)
            | Self::FilterFailed(version, _) => Some(*version),
            _ => None,
        }
    }
}
