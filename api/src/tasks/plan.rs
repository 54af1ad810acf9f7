//! What publishing a task file would change, and for how many users. Nothing is written.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{
    CatalogueStore, PublishError, UsersReached, users_reached, with_drafts,
};
use plaudit_event_store::{ExecuteError, off_the_runtime};
use plaudit_task_file::{Change, LocatedTask, diff};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tokio::time::Instant;

use super::past_records::{PastLookup, PlannedBackfill};
use super::warnings::{PlannedWarning, warnings_of};

/// What a publication would change.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Task by task, in the order of the file.
    pub tasks: Vec<PlannedTask>,
}

/// What a publication would change of a task.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlannedTask {
    /// The task.
    pub task: TaskId,
    /// What would be done.
    pub change: PlannedChange,
    /// The version that would be in force.
    pub version: u32,
    /// Field by field.
    pub changes: Vec<Change>,
    /// The users that it concerns; absent: they are too many to be counted in time.
    pub users: Option<UsersReached>,
    /// The past actions that a new task would count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<PlannedBackfill>,
    /// Legal but suspicious parts of it, in the order of the file.
    #[serde(default)]
    pub warnings: Vec<PlannedWarning>,
}

/// What would be done to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// It is not there yet.
    New,
    /// It gets a new version.
    Changed,
    /// It is in force as it is.
    Unchanged,
}

impl Plan {
    /// Compares tasks with the catalogue, counts users for at most so long, and asks for as long what new
    /// tasks would count of the past.
    pub async fn of(
        located: &[&LocatedTask],
        catalogue: &CatalogueStore,
        pool: &PgPool,
        past: &PastLookup,
        counting_max: Duration,
    ) -> Result<Self, PublishError> {
        let known = catalogue.newest(pool).await?;
        let now = Timestamp::now();
        let definitions: Vec<_> = located.iter().map(|task| task.definition.clone()).collect();
        let after = off_the_runtime(|| with_drafts(&known, &definitions, now));
        let after = after.map_err(PublishError::Unfit)?;
        let counted_until = Instant::now() + counting_max;
        let warnings = warnings_of(located, &known, pool).await;
        let mut tasks = Vec::with_capacity(located.len());
        for (task, warnings) in located.iter().zip(warnings) {
            let definition = &task.definition;
            let left = counted_until.saturating_duration_since(Instant::now());
            let mut planned = planned(&known, &after, definition, pool, left).await?;
            if let (PlannedChange::New, Some(backfill)) = (planned.change, definition.backfill) {
                let left = counted_until.saturating_duration_since(Instant::now());
                planned.backfill = Some(past.plan(backfill, left).await);
            }
            planned.warnings = warnings;
            tasks.push(planned);
        }
        Ok(Self { tasks })
    }
}

async fn planned(
    known: &Catalogue,
    after: &Catalogue,
    definition: &TaskDefinition,
    pool: &PgPool,
    counting_max: Duration,
) -> Result<PlannedTask, ExecuteError> {
    let task = definition.id.clone();
    let draft = after.task(&task).map(|task| Arc::clone(task.current()));
    let draft = draft.ok_or_else(|| ExecuteError::Unreadable(format!("task {task} is gone")))?;
    let version = draft.version;
    let (change, changes, users) = match known.task(&task) {
        None => (PlannedChange::New, vec![], Some(UsersReached::default())),
        Some(before) if before.current().definition == *definition => {
            (PlannedChange::Unchanged, vec![], Some(UsersReached::default()))
        }
        Some(before) => {
            let users = if counting_max.is_zero() {
                None
            } else {
                users_reached(pool, before, &draft, counting_max).await?
            };
            (PlannedChange::Changed, diff(&before.current().definition, definition), users)
        }
    };
    let (backfill, warnings) = (None, vec![]);
    Ok(PlannedTask { task, change, version, changes, users, backfill, warnings })
}
