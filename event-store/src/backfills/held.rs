//! The users whose rewards a backfill holds back.

use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use sqlx::PgPool;

use crate::states::undecodable;

/// Returns the users of a lane with held rewards of a task, in order of user id: those after
/// `after`, at most `limit`.
pub async fn users(
    pool: &PgPool,
    lane: Lane,
    task: &TaskId,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<UserId>> {
    // Quotes inside a string are escaped, so only a key of the state matches this pattern.
    let users: Vec<String> = sqlx::query_scalar(
        r#"select user_id from task_view
           where lane = $1 and task_id = $2 and user_id > $3 and details::text like '%"held":true%'
           order by user_id limit $4"#,
    )
    .bind(lane.0)
    .bind(task.as_str())
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    users.into_iter().map(|user| UserId::try_from(user).map_err(undecodable)).collect()
}
