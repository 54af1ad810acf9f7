//! The load: users in order of their ids, folded and copied chunk by chunk.

use plaudit_domain::lane::Lane;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::apply::keep_loaded;
use super::progress::LoadedChunk;
use super::run::{Run, StopReason};
use super::{copy, progress, skipped};
use crate::fold::LaneFold;
use crate::view::View;

/// Loads the lanes that are not loaded yet.
pub(crate) async fn load(run: &Run) -> Result<(), StopReason> {
    let lanes = progress::lanes_to_load(run.view, &run.pool).await?;
    run.each(lanes, load_lane).await?;
    Ok(())
}

async fn load_lane(run: Run, lane: Lane) -> Result<(), StopReason> {
    let mut connection = run.pool.acquire().await?;
    // A page of the load may already show events after this head, which are then folded once more.
    progress::note_head(run.view, lane, &mut connection).await?;
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
    let (mut checkpoint, loaded) = progress::loaded(run.view, lane, connection).await?;
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
        let chunk = LoadedChunk {
            after: checkpoint.as_deref(),
            last: last.as_deref(),
            users: users.len(),
            events: users.iter().map(|user| user.events).sum(),
            ends_lane: fold.has_ended(),
        };
        if !progress::advance_load(run.view, lane, &chunk, &mut tx).await? {
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
