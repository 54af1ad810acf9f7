//! The load: users in order of their ids, folded and copied chunk by chunk.

use plaudit_domain::lane::Lane;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::apply::keep_loaded;
use super::run::{Run, StopReason};
use super::{copy, skipped};
use crate::fold::LaneFold;
use crate::view::View;

/// Loads the lanes that are not loaded yet.
pub(crate) async fn load(run: &Run) -> Result<(), StopReason> {
    let lanes: Vec<i16> = sqlx::query_scalar(
        "select lane from rebuild_lanes where projection = $1 and not loaded order by lane",
    )
    .bind(run.view.name())
    .fetch_all(&run.pool)
    .await?;
    run.each(lanes.into_iter().map(Lane).collect(), load_lane).await?;
    Ok(())
}

async fn load_lane(run: Run, lane: Lane) -> Result<(), StopReason> {
    let mut connection = run.pool.acquire().await?;
    // Events from here on are caught up with later. A page of the load may already show some of
    // them, which are then folded once more.
    sqlx::query(
        "update rebuild_lanes set position = (select next_position - 1 from lanes where lane = $2)
         where projection = $1 and lane = $2 and user_id is null",
    )
    .bind(run.view.name())
    .bind(lane.0)
    .execute(&mut *connection)
    .await?;
    while !load_from_checkpoint(&run, lane, &mut connection).await? {}
    Ok(())
}

/// Loads a lane to its end. Returns false if its checkpoint moved in the meantime: an aborted
/// worker was still committing.
async fn load_from_checkpoint(
    run: &Run,
    lane: Lane,
    connection: &mut PgConnection,
) -> Result<bool, StopReason> {
    let (mut checkpoint, loaded): (Option<String>, bool) = sqlx::query_as(
        "select user_id, loaded from rebuild_lanes where projection = $1 and lane = $2",
    )
    .bind(run.view.name())
    .bind(lane.0)
    .fetch_one(&mut *connection)
    .await?;
    if loaded {
        return Ok(true);
    }
    let mut fold = LaneFold::after(lane, run.view.parts(), checkpoint.clone());
    loop {
        run.proceed(connection).await?;
        let Some(folded) = fold.next(run.chunk_events, connection).await? else {
            return Ok(true);
        };
        if folded.last.is_none() && !fold.has_ended() {
            continue; // a long history goes on
        }
        let users = folded.users;
        let mut tx = connection.begin().await?;
        // A crash loses rows and checkpoint together: the chunk is done again.
        tx.execute("set local synchronous_commit = off").await?;
        let last = folded.last.or_else(|| checkpoint.clone());
        let moved = sqlx::query(
            "update rebuild_lanes
             set user_id = $4, users = users + $5, loaded = $7,
                 -- A view that wants few of the events has looked through all of them in the end;
                 -- those after the position are caught up with.
                 events = case when $7 then position else events + $6 end
             where projection = $1 and lane = $2 and user_id is not distinct from $3 and not loaded",
        )
        .bind(run.view.name())
        .bind(lane.0)
        .bind(&checkpoint)
        .bind(&last)
        .bind(i64::try_from(users.len()).unwrap_or(i64::MAX))
        .bind(users.iter().map(|user| user.events).sum::<i64>())
        .bind(fold.has_ended())
        .execute(&mut *tx)
        .await?;
        if moved.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        skipped::note(run, lane, &folded.unreadable, &mut tx).await?;
        let rows = copy::rows_of(run.view, users.iter().map(|user| (lane, user)));
        copy::send(rows, &mut tx).await?;
        tx.commit().await?;
        if run.view == View::Tasks {
            keep_loaded(run, lane, users);
        }
        checkpoint = last;
    }
}
