//! `backfill_actions`: the past and live actions that a task with an open backfill has decided, so
//! that nothing counts twice however long the backfill takes.

use std::collections::{BTreeSet, HashSet};

use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Returns the actions that their tasks have already decided.
pub(crate) async fn decided(
    asked: &[(Lane, TaskId, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<(TaskId, Uuid)>> {
    let rows: Vec<(i64,)> = sqlx::query_as(include_str!("decided.sql"))
        .bind(asked.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, task, _)| task.as_str()).collect::<Vec<_>>())
        .bind(asked.iter().map(|(.., identity)| *identity).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let known = |(place,): (i64,)| {
        let (_, task, identity) = asked.get(usize::try_from(place - 1).ok()?)?;
        Some((task.clone(), *identity))
    };
    Ok(rows.into_iter().filter_map(known).collect())
}

/// Stores the actions that tasks have decided.
pub(crate) async fn remember(
    decided: &BTreeSet<(Lane, TaskId, Uuid)>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if decided.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("remember_actions.sql"))
        .bind(decided.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(decided.iter().map(|(_, task, _)| task.as_str()).collect::<Vec<_>>())
        .bind(decided.iter().map(|(.., identity)| *identity).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Finds the parked records that keep an action from being counted: records still parked, whose
/// release decides the action, and records that were discarded.
pub(crate) async fn parked(
    asked: &[(Lane, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    if asked.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Uuid> = sqlx::query_scalar(include_str!("parked_actions.sql"))
        .bind(asked.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// Maximum number of rows deleted per lane and call.
const PURGED_OF_LANE: i64 = 5_000;

/// Deletes the working rows of one finished backfill, a limited number per call so that nothing
/// waits.
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    // A batch decided just before the backfill finished may still have inserted rows.
    let over: Option<String> =
        sqlx::query_scalar(include_str!("to_purge.sql")).fetch_optional(pool).await?;
    let Some(task) = over else { return Ok(()) };
    let mut deleted = 0;
    let lanes: Vec<i16> =
        sqlx::query_scalar("select lane from lane_numbers order by lane").fetch_all(pool).await?;
    for lane in lanes {
        let done = sqlx::query(include_str!("purge_actions.sql"))
            .bind(lane)
            .bind(&task)
            .bind(PURGED_OF_LANE)
            .execute(pool)
            .await?;
        deleted += done.rows_affected();
    }
    if deleted == 0 {
        for sql in [
            "delete from backfill_bounds where lane in (select lane from lane_numbers) and task_id = $1",
            "delete from backfill_lanes where lane in (select lane from lane_numbers) and task_id = $1",
            "update backfills set purged_at = now() where task_id = $1",
        ] {
            sqlx::query(sql).bind(&task).execute(pool).await?;
        }
    }
    Ok(())
}
