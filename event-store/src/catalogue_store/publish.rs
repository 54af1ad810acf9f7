//! Publishing versions, and pausing, resuming and retiring tasks.

use plaudit_domain::catalogue::Status;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use serde::Deserialize;
use sqlx::PgPool;
use sqlx::types::Json;

use super::fit::{CatalogueConflict, check_fit};
use super::{read, status_from, status_text};
use crate::author::Author;
use crate::error::ExecuteError;
use crate::off_the_runtime::off_the_runtime;
use crate::{backfills, catalogue_revision};

/// The effect of a publication on one task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// The task.
    pub task: TaskId,
    /// The version in force.
    pub version: u32,
    /// True if the version is new; false if the definition was already in force.
    pub changed: bool,
}

/// The reason why a publication or a change of status was refused.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The definitions conflict with the catalogue. Names all conflicts.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Conflicts(Vec<CatalogueConflict>),
    /// There is no such task.
    #[error("unknown task {0}; `plaudit tasks list` lists them")]
    UnknownTask(TaskId),
    /// The task has no such version.
    #[error("task {task} has no version {version}, only 1 to {last}")]
    UnknownVersion {
        /// The task.
        task: TaskId,
        /// The version that was asked for.
        version: u32,
        /// The version in force.
        last: u32,
    },
    /// The task is retired, which is final.
    #[error("task {0} is retired; a retired task never returns, and its id is never used again")]
    Retired(TaskId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] ExecuteError),
}

impl From<sqlx::Error> for PublishError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Publishes definitions, all or none. A definition that is already in force creates no version.
/// Tasks that are not named stay unchanged.
pub async fn publish(
    pool: &PgPool,
    definitions: &[TaskDefinition],
    author: impl Into<Author>,
) -> Result<Vec<Published>, PublishError> {
    let author = author.into();
    let mut tx = pool.begin().await?;
    catalogue_revision::lock(&mut tx).await?;
    let (_, known) = read(&mut tx).await?;
    off_the_runtime(|| check_fit(&known, definitions)).map_err(PublishError::Conflicts)?;
    let mut published = Vec::with_capacity(definitions.len());
    for definition in definitions {
        let before = known.task(&definition.id);
        if let Some(task) = before.filter(|task| task.current().definition == *definition) {
            let version = task.current().version;
            published.push(Published { task: definition.id.clone(), version, changed: false });
            continue;
        }
        let version = before.map_or(1, |task| task.current().version + 1);
        sqlx::query("insert into tasks (task_id) values ($1) on conflict (task_id) do nothing")
            .bind(definition.id.as_str())
            .execute(&mut *tx)
            .await?;
        sqlx::query("insert into task_versions (task_id, version, definition, published_by, reason) values ($1, $2, $3, $4, $5)")
            .bind(definition.id.as_str())
            .bind(i64::from(version))
            .bind(Json(definition))
            .bind(&author.by)
            .bind(&author.reason)
            .execute(&mut *tx)
            .await?;
        if let (None, Some(backfill)) = (before, definition.backfill) {
            backfills::begin(&definition.id, backfill, &mut tx).await?;
        }
        published.push(Published { task: definition.id.clone(), version, changed: true });
    }
    if published.iter().any(|p| p.changed) {
        catalogue_revision::raise(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(published)
}

/// Publishes the definition of an earlier version as a new version.
pub async fn roll_back(
    pool: &PgPool,
    task: &TaskId,
    version: u32,
    author: impl Into<Author>,
) -> Result<Published, PublishError> {
    let (_, known) = read(&mut *pool.acquire().await?).await?;
    let known = known.task(task).ok_or_else(|| PublishError::UnknownTask(task.clone()))?;
    let earlier = known.version(version).ok_or_else(|| PublishError::UnknownVersion {
        task: task.clone(),
        version,
        last: known.current().version,
    })?;
    let definitions = std::slice::from_ref(&earlier.definition);
    // Versions never change, so the definition read here can't differ from the stored one.
    let published = publish(pool, definitions, author).await?;
    published.into_iter().next().ok_or_else(|| PublishError::UnknownTask(task.clone()))
}

/// Pauses, resumes or retires a task.
pub async fn set_status(
    pool: &PgPool,
    task: &TaskId,
    status: Status,
    author: impl Into<Author>,
) -> Result<(), PublishError> {
    let author = author.into();
    let mut tx = pool.begin().await?;
    catalogue_revision::lock(&mut tx).await?;
    let before: Option<String> = sqlx::query_scalar("select status from tasks where task_id = $1")
        .bind(task.as_str())
        .fetch_optional(&mut *tx)
        .await?;
    match before.as_deref().and_then(status_from) {
        None => return Err(PublishError::UnknownTask(task.clone())),
        Some(Status::Retired) if status != Status::Retired => {
            return Err(PublishError::Retired(task.clone()));
        }
        Some(before) if before == status => return Ok(()),
        Some(_) => {}
    }
    sqlx::query("update tasks set status = $1, changed_at = now() where task_id = $2")
        .bind(status_text(status))
        .bind(task.as_str())
        .execute(&mut *tx)
        .await?;
    if status == Status::Retired {
        backfills::changes::cancel_retired(task, &author, &mut tx).await?;
    }
    let revision = catalogue_revision::raise(&mut tx).await?;
    sqlx::query(
        "insert into task_status_changes (task_id, revision, status, changed_by, reason) values ($1, $2, $3, $4, $5)",
    )
    .bind(task.as_str())
    .bind(revision)
    .bind(status_text(status))
    .bind(&author.by)
    .bind(&author.reason)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
