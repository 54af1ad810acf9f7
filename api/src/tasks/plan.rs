//! Plans of publications: the changes, and the number of users they reach. Nothing is written.

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

use super::warnings::{PlannedWarning, warnings_of};
use crate::past_records::{PastLookup, PlannedBackfill};

/// The changes that a publication would make.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// In the order of the file.
    pub tasks: Vec<PlannedTask>,
}

/// The change that a publication would make to one task.
#[derive(Debug, Serialize, Deserialize)]
pub struct PlannedTask {
    /// The task.
    pub task: TaskId,
    /// The kind of change.
    pub change: PlannedChange,
    /// The version that would be in force afterwards.
    pub version: u32,
    /// The changed fields.
    pub changes: Vec<Change>,
    /// The users that it reaches; absent if counting them takes too long.
    pub users: Option<UsersReached>,
    /// The past actions that a new task would count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<PlannedBackfill>,
    /// Valid but questionable parts of the definition, in the order of the file.
    #[serde(default)]
    pub warnings: Vec<PlannedWarning>,
}

/// The kind of change to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedChange {
    /// The task does not exist yet.
    New,
    /// The task gets a new version.
    Changed,
    /// The definition is already in force.
    Unchanged,
}

impl Plan {
    /// Compares tasks with the catalogue. Counting users and asking for past actions take at most
    /// `counting_max` together, beside the time for the warnings.
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
        let after = after.map_err(PublishError::Conflicts)?;
        let warnings = warnings_of(located, &known, pool).await;
        let counted_until = Instant::now() + counting_max;
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
