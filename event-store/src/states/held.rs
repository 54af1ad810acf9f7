//! Users with rewards that a backfill holds back.

use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use sqlx::PgPool;

use super::undecodable;

/// Returns the users of a lane with held rewards of a task, in order of user id: those after
/// `after`, at most `limit`.
pub async fn users_with_held_rewards(
    pool: &PgPool,
    lane: Lane,
    task: &TaskId,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<UserId>> {
    let users: Vec<String> = sqlx::query_scalar(include_str!("held.sql"))
        .bind(lane.0)
        .bind(task.as_str())
        .bind(after)
        .bind(limit)
        .fetch_all(pool)
        .await?;
    users.into_iter().map(|user| UserId::try_from(user).map_err(undecodable)).collect()
}
