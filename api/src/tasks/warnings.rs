//! Warnings about valid but questionable parts of a task, given the catalogue and what users do.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::action::RecentFields;
use plaudit_domain::catalogue::Catalogue;
use plaudit_event_store::{action_fields, off_the_runtime, pool};
use plaudit_task_file::LocatedTask;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

/// Time limit for reading the fields of recent actions. If it is exceeded, the warnings about them
/// are left out.
pub(super) const ASKING_MAX: Duration = Duration::from_secs(2);

/// A valid but questionable part of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWarning {
    /// The path of the field in the file, such as `rewards[0].amount`; empty for the task as a
    /// whole.
    pub path: String,
    /// The reason for the warning, and its consequence.
    pub message: String,
}

/// Returns the warnings of each task, given the catalogue in force and the fields of recent
/// actions.
pub async fn warnings_of(
    tasks: &[&LocatedTask],
    in_force: &Catalogue,
    pool: &PgPool,
) -> Vec<Vec<PlannedWarning>> {
    let types = tasks.iter().flat_map(|task| &task.definition.objective.on);
    let types: Vec<String> = types.collect::<BTreeSet<_>>().into_iter().cloned().collect();
    let recent = pool::within(ASKING_MAX, action_fields::recent(pool, &types)).await;
    let recent = recent.unwrap_or_else(|error: sqlx::Error| {
        tracing::warn!(%error, "the fields of recent actions can't be read: nothing is warned of them");
        RecentFields::default()
    });
    let now = Timestamp::now();
    let drafts: Vec<_> = tasks.iter().map(|task| &task.definition).collect();
    let of_task = |task: &&LocatedTask| {
        let mut found = task.warnings_beside(now, in_force, &recent);
        found.extend(task.warnings_of_counted(&drafts, Some(in_force)));
        found.sort();
        let planned = found.into_iter().map(|warning| {
            let path = task.path_below(&warning).to_owned();
            PlannedWarning { path, message: warning.message }
        });
        planned.collect()
    };
    off_the_runtime(|| tasks.iter().map(of_task).collect())
}
