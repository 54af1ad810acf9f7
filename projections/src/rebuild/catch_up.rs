//! Catching up: users with events after a lane's checkpoint are folded again.

use std::collections::BTreeSet;

use plaudit_domain::lane::Lane;
use plaudit_event_store::reader;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;

use super::run::{Halt, Run};
use super::{copy, skipped};
use crate::fold;

/// How many events of the log are looked through at once.
pub(crate) const PAGE: i64 = 2_000;

/// How many events all lanes together are behind the log.
pub(crate) async fn behind(run: &Run) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select coalesce(sum(l.next_position - 1 - r.position), 0)::bigint
         from rebuild_lanes r join lanes l on l.lane = r.lane where r.projection = $1",
    )
    .bind(run.view.name())
    .fetch_one(&run.pool)
    .await
}

/// Brings every lane to the head it has now. False if that was not done by the deadline.
pub(crate) async fn round(run: &Run, deadline: Option<Instant>) -> Result<bool, Halt> {
    let lanes = run.lanes().await?;
    let done = run.each_lane(lanes, |run, lane| catch_up_lane(run, lane, deadline)).await?;
    Ok(done.into_iter().all(|done| done))
}

async fn catch_up_lane(run: Run, lane: Lane, deadline: Option<Instant>) -> Result<bool, Halt> {
    let mut connection = run.pool.acquire().await?;
    let (mut position, head) = places(&run, lane, &mut connection).await?;
    while position < head {
        if deadline.is_some_and(|deadline| deadline < Instant::now()) {
            return Ok(false);
        }
        run.proceed().await?;
        let (users, last) = reader::users_after(lane, position, PAGE, &mut connection).await?;
        if replace(&run, lane, &users, (position, last), &mut connection).await? {
            position = last;
        } else {
            // A worker that was given up was committing still.
            position = places(&run, lane, &mut connection).await?.0;
        }
    }
    Ok(true)
}

/// Folds users again and replaces their rows; the lane's checkpoint moves with them. False if it is
/// not where it was.
async fn replace(
    run: &Run,
    lane: Lane,
    users: &BTreeSet<String>,
    (from, to): (i64, i64),
    connection: &mut PgConnection,
) -> Result<bool, Halt> {
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let mut tx = connection.begin().await?;
    tx.execute("set local synchronous_commit = off").await?;
    let moved = sqlx::query(
        "update rebuild_lanes set position = $4 where projection = $1 and lane = $2 and position = $3",
    )
    .bind(run.view.name())
    .bind(lane.0)
    .bind(from)
    .bind(to)
    .execute(&mut *tx)
    .await?;
    if moved.rows_affected() == 0 {
        tx.rollback().await?;
        return Ok(false);
    }
    let folded = fold::users(lane, &names, run.view.wanted(), &mut tx).await?;
    for table in run.view.tables() {
        let sql = format!("delete from {}_new where lane = $1 and user_id = any($2)", table.name);
        sqlx::query(&sql).bind(lane.0).bind(&names).execute(&mut *tx).await?;
    }
    skipped::note(run, lane, &folded.unreadable, &mut tx).await?;
    copy::send(copy::rows_of(run.view, lane, &folded.users), &mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// Up to where a lane's log is in the new version, and its head.
pub(crate) async fn places(
    run: &Run,
    lane: Lane,
    connection: &mut PgConnection,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(
        "select r.position, l.next_position - 1
         from rebuild_lanes r join lanes l on l.lane = r.lane where r.projection = $1 and r.lane = $2",
    )
    .bind(run.view.name())
    .bind(lane.0)
    .fetch_one(connection)
    .await
}
