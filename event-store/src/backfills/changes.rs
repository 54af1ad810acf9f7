//! Changes of backfills by operators.

use plaudit_domain::catalogue::definition::BackfillRewards;
use plaudit_domain::ids::TaskId;
use sqlx::{PgConnection, PgPool};

use super::{BackfillState, rewards_from};
use crate::author::Author;
use crate::catalogue_revision;
use crate::states::undecodable;

/// A change of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillChange {
    /// Stop reading until resumed.
    Pause,
    /// Continue where it stopped.
    Resume,
    /// End it. Progress already counted stays.
    Cancel,
    /// Grant the held rewards.
    Release,
}

impl BackfillChange {
    /// The word stored in the history.
    fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Cancel => "cancelled",
            Self::Release => "released",
        }
    }
}

/// The reason why a change of a backfill was refused.
#[derive(Debug, thiserror::Error)]
pub enum BackfillChangeError {
    /// The task has no backfill.
    #[error(
        "task {0} has no backfill; only a task that was first published with `backfill` has one"
    )]
    Unknown(TaskId),
    /// The backfill is done or cancelled.
    #[error("the backfill of {task} is {state}, and nothing more can be done with it")]
    Over {
        /// The task.
        task: TaskId,
        /// Its final state.
        state: BackfillState,
    },
    /// The backfill is not finished and may still hold more rewards.
    #[error(
        "the backfill of {task} is {state}; its rewards can be released once it is done or cancelled"
    )]
    Unfinished {
        /// The task.
        task: TaskId,
        /// Its state.
        state: BackfillState,
    },
    /// The backfill holds no rewards.
    #[error("the backfill of {0} holds no rewards back; only `rewards: hold` does")]
    HoldsNothing(TaskId),
    /// The database failed.
    #[error("the database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Changes the backfill of a task. Does nothing if it is already in the requested state.
pub async fn change(
    pool: &PgPool,
    task: &TaskId,
    change: BackfillChange,
    author: &Author,
) -> Result<(), BackfillChangeError> {
    let mut tx = pool.begin().await?;
    let found: Option<(String, String, bool)> = sqlx::query_as(
        "select state, rewards, release_at is not null from backfills where task_id = $1 for update",
    )
    .bind(task.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    let Some((state, rewards, is_released)) = found else {
        return Err(BackfillChangeError::Unknown(task.clone()));
    };
    let state: BackfillState = state.parse().map_err(undecodable)?;
    let task_id = task.clone();
    let sql = match (change, state) {
        (BackfillChange::Pause, BackfillState::Paused)
        | (BackfillChange::Resume, BackfillState::Running)
        | (BackfillChange::Cancel, BackfillState::Cancelled) => return Ok(()),
        (BackfillChange::Pause, BackfillState::Running) => {
            "update backfills set state = 'paused' where task_id = $1"
        }
        (BackfillChange::Resume, BackfillState::Paused) => {
            "update backfills set state = 'running', progressed_at = now() where task_id = $1"
        }
        (BackfillChange::Cancel, BackfillState::Running | BackfillState::Paused) => {
            include_str!("cancel.sql")
        }
        (BackfillChange::Release, _) if rewards_from(&rewards)? != BackfillRewards::Hold => {
            return Err(BackfillChangeError::HoldsNothing(task_id));
        }
        (BackfillChange::Release, BackfillState::Running | BackfillState::Paused) => {
            return Err(BackfillChangeError::Unfinished { task: task_id, state });
        }
        (BackfillChange::Release, _) if is_released => return Ok(()),
        (BackfillChange::Release, BackfillState::Done | BackfillState::Cancelled) => {
            include_str!("release.sql")
        }
        (BackfillChange::Pause | BackfillChange::Resume | BackfillChange::Cancel, _) => {
            return Err(BackfillChangeError::Over { task: task_id, state });
        }
    };
    let update = sqlx::query(sql).bind(task.as_str());
    let update = match change {
        BackfillChange::Release => update.bind(&author.by).bind(&author.reason),
        _ => update,
    };
    update.execute(&mut *tx).await?;
    note(task, change.as_str(), author, &mut tx).await?;
    if change == BackfillChange::Cancel {
        catalogue_revision::renew(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn note(
    task: &TaskId,
    change: &str,
    author: &Author,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("note_change.sql"))
        .bind(task.as_str())
        .bind(change)
        .bind(&author.by)
        .bind(&author.reason)
        .execute(connection)
        .await?;
    Ok(())
}

/// Cancels the backfill of a retired task, unless it is over.
pub(crate) async fn cancel_retired(
    task: &TaskId,
    author: &Author,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let cancelled = sqlx::query(include_str!("cancel_open.sql"))
        .bind(task.as_str())
        .execute(&mut *connection)
        .await?;
    if cancelled.rows_affected() == 1 {
        note(task, "cancelled", author, connection).await?;
    }
    Ok(())
}
