//! Counts the users affected by the publication of a version, by effect.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use plaudit_domain::catalogue::{CatalogueTask, TaskVersion};
use plaudit_domain::expression::Allowance;
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::UserTasks;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row as _};

use crate::off_the_runtime::off_the_runtime;
use crate::states::{UserRow, undecodable};

/// The users with progress in a task, by the effect of a new version on their current period. All
/// other users begin with the new version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersReached {
    /// Users whose open period is completed and stays so.
    pub completed: u64,
    /// Users whose open period continues under its current version.
    pub keep_version: u64,
    /// Users whose open period continues under the new version.
    pub adopt_version: u64,
    /// The part of `adopt_version` whose progress reaches the new target, so that the next action
    /// completes the period.
    pub adopt_at_target: u64,
    /// Users whose last period has ended. The next one begins with the new version.
    pub begin_anew: u64,
    /// Users who would adopt the new version or begin with it, but are outside its audience:
    /// nothing counts for them. Counted only if the audience changes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outside_audience: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The newest period of a user.
struct Newest {
    version: u32,
    is_open: bool,
    is_completed: bool,
    /// True if its progress reaches the new target.
    is_enough: bool,
}

impl Newest {
    /// Reads the first four columns of a row.
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        let version = u32::try_from(row.try_get::<i32, _>(0)?).unwrap_or(0);
        let (is_open, is_completed) = (row.try_get(1)?, row.try_get(2)?);
        Ok(Self { version, is_open, is_completed, is_enough: row.try_get(3)? })
    }
}

/// The number of users read before their audience is evaluated.
const CHUNK: usize = 1_000;

/// Counts the affected users. `None`: the time limit was reached. Normally an index is enough. If
/// the version has another audience than the one in force, users are read one by one, because the
/// audience depends on their attributes.
pub async fn users_reached(
    pool: &PgPool,
    task: &CatalogueTask,
    draft: &Arc<TaskVersion>,
    limit: Duration,
) -> sqlx::Result<Option<UsersReached>> {
    let mut tx = pool.begin().await?;
    let timeout = format!("set local statement_timeout = {}", limit.as_millis().max(1));
    sqlx::query(&timeout).execute(&mut *tx).await?;
    let audience = &draft.definition.audience;
    let leaves_somebody_out =
        !audience.is_everybody() && *audience != task.current().definition.audience;
    let counted = if leaves_somebody_out {
        one_by_one(task, draft, &mut tx).await
    } else {
        by_index(task, draft, &mut tx).await
    };
    tx.rollback().await?;
    match counted {
        Ok(reached) => Ok(Some(reached)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(QUERY_CANCELED) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn by_index(
    task: &CatalogueTask,
    draft: &Arc<TaskVersion>,
    connection: &mut PgConnection,
) -> sqlx::Result<UsersReached> {
    let query = sqlx::query(include_str!("reach.sql"));
    let query = query.bind(task.id.as_str()).bind(draft.definition.objective.target);
    let mut reached = UsersReached::default();
    for row in query.fetch_all(connection).await? {
        let users = u64::try_from(row.try_get::<i64, _>(4)?).unwrap_or(0);
        reached.add(users, &Newest::read(&row)?, task, draft, true);
    }
    Ok(reached)
}

async fn one_by_one(
    task: &CatalogueTask,
    draft: &Arc<TaskVersion>,
    connection: &mut PgConnection,
) -> sqlx::Result<UsersReached> {
    let query = sqlx::query(include_str!("reach_in_audience.sql"));
    let query = query.bind(task.id.as_str()).bind(draft.definition.objective.target);
    let mut reached = UsersReached::default();
    let mut chunks = query.fetch(connection).try_chunks(CHUNK);
    while let Some(rows) = chunks.try_next().await.map_err(|error| error.1)? {
        off_the_runtime(|| {
            rows.iter().try_for_each(|row| {
                let is_inside = is_in_audience(row, draft)?;
                reached.add(1, &Newest::read(row)?, task, draft, is_inside);
                Ok::<_, sqlx::Error>(())
            })
        })?;
    }
    Ok(reached)
}

fn is_in_audience(row: &PgRow, draft: &TaskVersion) -> sqlx::Result<bool> {
    let user: UserId = row.try_get::<&str, _>(4)?.parse().map_err(undecodable)?;
    let known = UserRow::read(row, 5)?.map(UserRow::into_state).transpose()?;
    let UserTasks { zones, attributes, .. } = known.unwrap_or_default();
    Ok(draft.is_in_audience(&user, zones.current(), &attributes, &mut Allowance::default()))
}

impl UsersReached {
    /// Adds users whose newest period is this one.
    fn add(
        &mut self,
        users: u64,
        newest: &Newest,
        task: &CatalogueTask,
        draft: &TaskVersion,
        is_inside: bool,
    ) {
        let adopts = task.version(newest.version).is_none()
            || task.version_followed_from(newest.version).is_followed_by(draft);
        match (newest.is_open, newest.is_completed, adopts) {
            (true, true, _) => self.completed += users,
            (true, false, false) => self.keep_version += users,
            _ if !is_inside => self.outside_audience += users,
            (false, ..) => self.begin_anew += users,
            (true, false, true) => {
                self.adopt_version += users;
                self.adopt_at_target += if newest.is_enough { users } else { 0 };
            }
        }
    }
}

/// Error code: a statement took longer than `statement_timeout`.
///
/// Source: PostgreSQL, appendix A "Error Codes".
const QUERY_CANCELED: &str = "57014";
