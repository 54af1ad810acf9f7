//! Amnesties: spans of time over which, as declared by an operator, no streak breaks.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::catalogue::definition::Pause;
use plaudit_domain::catalogue::{AMNESTIES_MAX, Amnesty, Catalogue, CatalogueTask};
use plaudit_domain::ids::TaskId;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};
use uuid::Uuid;

use super::read;
use crate::error::ExecuteError;
use crate::{catalogue_revision, instant};

/// The time span and the tasks of an amnesty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmnestyScope {
    /// The first instant of the span.
    pub from: Timestamp,
    /// The first instant after the span.
    pub until: Timestamp,
    /// The tasks; absent: all continuous tasks, including those published later.
    pub tasks: Option<Vec<TaskId>>,
}

/// A declared amnesty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredAmnesty {
    /// Its id.
    pub id: Uuid,
    /// The span of time, and its tasks.
    #[serde(flatten)]
    pub scope: AmnestyScope,
    /// The time of the declaration.
    pub at: Timestamp,
    /// The operator: the `sub` of a token, or a user of the operating system.
    pub by: String,
    /// The reason.
    pub reason: String,
}

/// The reason why an amnesty was refused.
#[derive(Debug, thiserror::Error)]
pub enum AmnestyError {
    /// The span is empty.
    #[error("an amnesty ends after it begins; it would be from {from} until {until}")]
    EmptySpan {
        /// Its first instant.
        from: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// The list of tasks is present but empty.
    #[error("no task is named; leave the tasks out for all continuous tasks")]
    NoTask,
    /// There is no such task.
    #[error("unknown task {0}; `plaudit tasks list` lists them")]
    UnknownTask(TaskId),
    /// The task has no streaks.
    #[error("task {0} is not continuous, so it has no streaks that could break")]
    NotContinuous(TaskId),
    /// The maximum number of amnesties is reached.
    #[error("there are already {AMNESTIES_MAX} amnesties, the maximum")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] ExecuteError),
}

impl From<sqlx::Error> for AmnestyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Declares an amnesty, in force with the next batch of every process. If one with the same span
/// and tasks exists, returns that one instead.
pub async fn declare_amnesty(
    pool: &PgPool,
    scope: AmnestyScope,
    by: &str,
    reason: &str,
) -> Result<DeclaredAmnesty, AmnestyError> {
    let mut tx = pool.begin().await?;
    catalogue_revision::lock(&mut tx).await?;
    let (_, known) = read(&mut tx).await?;
    let scope = checked(scope, &known)?;
    let declared = all(&mut tx).await?;
    if let Some(same) = declared.iter().find(|amnesty| amnesty.scope == scope) {
        return Ok(same.clone());
    }
    if declared.len() >= AMNESTIES_MAX {
        return Err(AmnestyError::TooMany);
    }
    let tasks: Option<Vec<&str>> =
        scope.tasks.as_ref().map(|tasks| tasks.iter().map(TaskId::as_str).collect());
    let row = sqlx::query(include_str!("amnesties/insert.sql"))
        .bind(Uuid::now_v7())
        .bind(instant::to_sql(scope.from))
        .bind(instant::to_sql(scope.until))
        .bind(tasks)
        .bind(by)
        .bind(reason)
        .fetch_one(&mut *tx)
        .await?;
    catalogue_revision::raise(&mut tx).await?;
    let declared = amnesty(&row)?;
    tx.commit().await?;
    Ok(declared)
}

/// Checks the span and the tasks. Returns the scope with its tasks sorted.
fn checked(scope: AmnestyScope, catalogue: &Catalogue) -> Result<AmnestyScope, AmnestyError> {
    let AmnestyScope { from, until, tasks } = scope;
    if from >= until {
        return Err(AmnestyError::EmptySpan { from, until });
    }
    let Some(mut tasks) = tasks else { return Ok(AmnestyScope { from, until, tasks }) };
    if tasks.is_empty() {
        return Err(AmnestyError::NoTask);
    }
    for id in &tasks {
        match catalogue.task(id) {
            None => return Err(AmnestyError::UnknownTask(id.clone())),
            Some(task) if !task.current().definition.kind.shape().counts_streaks => {
                return Err(AmnestyError::NotContinuous(id.clone()));
            }
            Some(_) => {}
        }
    }
    tasks.sort();
    tasks.dedup();
    Ok(AmnestyScope { from, until, tasks: Some(tasks) })
}

/// All amnesties, the oldest declaration first.
pub async fn amnesties(pool: &PgPool) -> Result<Vec<DeclaredAmnesty>, ExecuteError> {
    all(&mut *pool.acquire().await?).await
}

async fn all(connection: &mut PgConnection) -> Result<Vec<DeclaredAmnesty>, ExecuteError> {
    let rows = sqlx::query(include_str!("amnesties/load.sql")).fetch_all(connection).await?;
    rows.iter().map(amnesty).collect()
}

fn amnesty(row: &PgRow) -> Result<DeclaredAmnesty, ExecuteError> {
    let at = |column: &str| -> sqlx::Result<Timestamp> {
        Ok(instant::from_sql(row.try_get::<DateTime<Utc>, _>(column)?))
    };
    let ids = |tasks: Vec<String>| tasks.iter().map(|id| id.parse()).collect::<Result<_, _>>();
    let tasks: Option<Vec<String>> = row.try_get("tasks")?;
    let tasks = tasks.map(ids).transpose();
    Ok(DeclaredAmnesty {
        id: row.try_get("id")?,
        scope: AmnestyScope {
            from: at("starts_at")?,
            until: at("ends_at")?,
            tasks: tasks.map_err(|e| ExecuteError::Unreadable(format!("an amnesty: {e}")))?,
        },
        at: at("declared_at")?,
        by: row.try_get("declared_by")?,
        reason: row.try_get("reason")?,
    })
}

/// Adds to each task the amnesties that concern it. Must follow the statement that read the
/// identity of the catalogue: an amnesty declared in between is then seen a moment early, and never
/// missed.
pub(super) async fn add_amnesties(
    tasks: &mut [CatalogueTask],
    connection: &mut PgConnection,
) -> Result<(), ExecuteError> {
    for declared in all(connection).await? {
        let AmnestyScope { from, until, tasks: named } = declared.scope;
        let amnesty = Amnesty { span: Pause { from, until }, declared_at: declared.at };
        let concerns = |id: &TaskId| named.as_ref().is_none_or(|named| named.contains(id));
        for task in tasks.iter_mut().filter(|task| concerns(&task.id)) {
            task.amnesties.push(amnesty);
        }
    }
    Ok(())
}
