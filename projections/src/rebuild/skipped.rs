//! Users with an event that can't be read. A rebuild goes on without them, and the new version
//! keeps their served rows.

use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, PgPool};

use super::run::Run;
use crate::ProjectionError;
use crate::difference::{UnreadableUser, UnreadableUsers};
use crate::view::View;

/// The users that the running or the last rebuild of a view skipped.
pub async fn skipped(pool: &PgPool, name: &str) -> Result<UnreadableUsers, ProjectionError> {
    let view = View::named(name)?;
    let rows: Vec<(i16, String, String, i64)> = sqlx::query_as(include_str!("skipped/page.sql"))
        .bind(view.name())
        .bind(i64::try_from(UnreadableUsers::SHOWN_MAX).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await?;
    let count = rows.first().map_or(0, |(_, _, _, count)| count.unsigned_abs());
    let named = |(lane, user, reason, _)| UnreadableUser { lane: Lane(lane), user, reason };
    Ok(UnreadableUsers { count, first: rows.into_iter().map(named).collect() })
}

/// Stores users who can't be folded, in the transaction of those who could.
pub(super) async fn note(
    run: &Run,
    lane: Lane,
    users: &[(String, String)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if users.is_empty() {
        return Ok(());
    }
    let (names, reasons): (Vec<&str>, Vec<&str>) =
        users.iter().map(|(user, reason)| (user.as_str(), reason.as_str())).unzip();
    for (user, reason) in users {
        tracing::warn!(
            projection = run.view.name(), %lane, user, reason,
            "a rebuild skips a user whose events can't be read"
        );
    }
    sqlx::query(include_str!("skipped/insert.sql"))
        .bind(run.view.name())
        .bind(lane.0)
        .bind(&names)
        .bind(&reasons)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets the users whom the last rebuild of a view skipped.
pub(super) async fn clear(view: View, connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("delete from rebuild_skipped where projection = $1")
        .bind(view.name())
        .execute(connection)
        .await?;
    Ok(())
}

/// The skipped users of these lanes.
pub(super) async fn users_of(
    run: &Run,
    lanes: &[i16],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<(i16, String)>> {
    sqlx::query_as(
        "select lane, user_id from rebuild_skipped where projection = $1 and lane = any($2)",
    )
    .bind(run.view.name())
    .bind(lanes)
    .fetch_all(connection)
    .await
}

/// Copies the served rows of skipped users into the new version. Called with the lanes locked, so
/// that the rows don't change in the meantime.
pub(super) async fn carry_over(run: &Run, connection: &mut PgConnection) -> sqlx::Result<()> {
    for table in run.view.tables() {
        let name = table.name;
        let columns = table.columns;
        let clear = format!(
            "delete from {name}_new t using rebuild_skipped s
             where s.projection = $1 and t.lane = s.lane and t.user_id = s.user_id"
        );
        let copy = format!(
            "insert into {name}_new (lane, user_id, {columns})
             select t.* from rebuild_skipped s
             cross join lateral (
                 select lane, user_id, {columns} from {name} where lane = s.lane and user_id = s.user_id offset 0
             ) t
             where s.projection = $1"
        );
        for sql in [clear, copy] {
            sqlx::query(&sql).bind(run.view.name()).execute(&mut *connection).await?;
        }
    }
    Ok(())
}
