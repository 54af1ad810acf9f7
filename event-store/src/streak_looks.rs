//! `streak_looks`: the next time at which the sweeper looks at a streak. Explained in decision
//! 0022.

use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, Row};

use crate::instant;
use crate::states::{undecodable, unless_unreadable};

/// The next look at a streak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreakLook {
    /// The lane of the user.
    pub lane: Lane,
    /// The user.
    pub user: UserId,
    /// The task.
    pub task: TaskId,
    /// The time; `None` if nothing can happen to the streak before the user's next step.
    pub due_at: Option<Timestamp>,
}

/// Writes the next looks. Each task of a user may occur once.
pub(crate) async fn save(looks: &[StreakLook], connection: &mut PgConnection) -> sqlx::Result<()> {
    if looks.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("streak_looks/upsert.sql"))
        .bind(looks.iter().map(|look| look.lane.0).collect::<Vec<_>>())
        .bind(looks.iter().map(|look| look.user.as_str()).collect::<Vec<_>>())
        .bind(looks.iter().map(|look| look.task.as_str()).collect::<Vec<_>>())
        .bind(looks.iter().map(|look| look.due_at.map(instant::to_sql)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the streaks that are due, up to `per_lane` of each lane, without those of `skipped`
/// users.
pub(crate) async fn due(
    as_of: Timestamp,
    per_lane: i64,
    skipped: &[String],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<(Lane, UserId, TaskId)>> {
    let rows = sqlx::query(include_str!("streak_looks/due.sql"))
        .bind(instant::to_sql(as_of))
        .bind(per_lane)
        .bind(skipped)
        .fetch_all(connection)
        .await?;
    let streak = |row: &sqlx::postgres::PgRow| {
        let (user, task): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        let user = UserId::try_from(user).map_err(undecodable)?;
        Ok((Lane(row.try_get(0)?), user, TaskId::try_from(task).map_err(undecodable)?))
    };
    Ok(rows.iter().filter_map(|row| unless_unreadable(streak(row), "streak_looks")).collect())
}
