//! How many users the publication of a version concerns, and how.

use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{CatalogueTask, TaskVersion};
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};

/// Users who have done something for a task, by what would become of the period they are in. All others begin
/// with the new version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersReached {
    /// Their open period is completed and stays so.
    pub completed: u64,
    /// Their open period goes on under the version it began with.
    pub keep_version: u64,
    /// Their open period goes on under the new version.
    pub adopt_version: u64,
    /// Of `adopt_version`: what they have is enough for the new target, so that the next action completes it.
    pub adopt_at_target: u64,
    /// Their last period has ended; the next one begins with the new version.
    pub begin_anew: u64,
}

/// Counts them by an index, for at most so long; `None`: that was not enough.
pub async fn users_reached(
    pool: &PgPool,
    task: &CatalogueTask,
    draft: &Arc<TaskVersion>,
    limit: Duration,
) -> sqlx::Result<Option<UsersReached>> {
    let mut tx = pool.begin().await?;
    let timeout = format!("set local statement_timeout = {}", limit.as_millis().max(1));
    sqlx::query(&timeout).execute(&mut *tx).await?;
    let rows = sqlx::query(include_str!("reach.sql"))
        .bind(task.id.as_str())
        .bind(target_of(&draft.definition))
        .fetch_all(&mut *tx)
        .await;
    tx.rollback().await?;
    let rows = match rows {
        Ok(rows) => rows,
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(QUERY_CANCELED) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut reached = UsersReached::default();
    for row in &rows {
        let (is_open, is_completed): (bool, bool) = (row.try_get(1)?, row.try_get(2)?);
        let (is_enough, users): (bool, i64) = (row.try_get(3)?, row.try_get(4)?);
        let users = u64::try_from(users).unwrap_or(0);
        let version = u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(0);
        let adopts = task.version(version).is_none()
            || task.version_followed_from(version).is_followed_by(draft);
        match (is_open, is_completed, adopts) {
            (false, ..) => reached.begin_anew += users,
            (true, true, _) => reached.completed += users,
            (true, false, false) => reached.keep_version += users,
            (true, false, true) => {
                reached.adopt_version += users;
                reached.adopt_at_target += if is_enough { users } else { 0 };
            }
        }
    }
    Ok(Some(reached))
}

/// The value that the progress of a period is compared with.
fn target_of(draft: &TaskDefinition) -> i64 {
    draft.objective.target
}

/// A statement took longer than `statement_timeout`.
///
/// Source: PostgreSQL, appendix A "Error Codes".
const QUERY_CANCELED: &str = "57014";
