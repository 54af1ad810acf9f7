//! The progress of rebuilds: `rebuilds`, one row per view, and `rebuild_lanes`, one row per lane of
//! it with the checkpoint of the load and of catching up.

use plaudit_domain::lane::Lane;
use plaudit_event_store::reader::LaneSpan;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool};

use super::Phase;
use super::lease::Lease;
use super::skipped;
use crate::view::View;

/// Notes a new rebuild in place of an earlier one: every lane starts at its head.
pub(super) async fn begin(view: View, connection: &mut PgConnection) -> sqlx::Result<()> {
    skipped::clear(view, connection).await?;
    for sql in [
        "delete from rebuilds where projection = $1",
        "delete from rebuild_lanes where projection = $1",
        "insert into rebuilds (projection, state, phase) values ($1, 'running', 'loading')",
        include_str!("progress/begin_lanes.sql"),
    ] {
        sqlx::query(sql).bind(view.name()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Returns the state of the last rebuild, and locks it until the transaction ends: a rebuild that
/// is cancelled at this moment does not run again.
pub(super) async fn lock(
    view: View,
    connection: &mut PgConnection,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("select state from rebuilds where projection = $1 for update")
        .bind(view.name())
        .fetch_optional(connection)
        .await
}

/// Notes that a rebuild continues in this state.
pub(super) async fn resume(
    view: View,
    state: &str,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("progress/resume.sql"))
        .bind(view.name())
        .bind(state)
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a rebuild has failed, unless it was cancelled or another process has taken it over.
pub(super) async fn fail(view: View, lease: Lease, error: &str, pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(include_str!("progress/fail.sql"))
        .bind(view.name())
        .bind(error)
        .bind(lease.epoch())
        .execute(pool)
        .await?;
    Ok(())
}

/// Changes the state of a rebuild that is in one of the states `from`. Returns false if it is in
/// none of them.
pub(super) async fn change_state(
    view: View,
    to: &str,
    from: &[&str],
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    let changed =
        sqlx::query("update rebuilds set state = $2 where projection = $1 and state = any($3)")
            .bind(view.name())
            .bind(to)
            .bind(from)
            .execute(connection)
            .await?;
    Ok(changed.rows_affected() == 1)
}

/// Stores the current step, unless another process has taken the rebuild over.
pub(super) async fn enter(
    view: View,
    phase: Phase,
    lease: Lease,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("progress/enter.sql"))
        .bind(view.name())
        .bind(phase.as_str())
        .bind(lease.epoch())
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the state of a rebuild, and whether it is still this process's.
pub(super) async fn state(
    view: View,
    lease: Lease,
    connection: &mut PgConnection,
) -> sqlx::Result<(String, bool)> {
    sqlx::query_as(include_str!("progress/state.sql"))
        .bind(view.name())
        .bind(lease.epoch())
        .fetch_one(connection)
        .await
}

/// Returns the row that a status is made of; `None` if the view was never rebuilt.
pub(super) async fn status(view: View, pool: &PgPool) -> sqlx::Result<Option<PgRow>> {
    sqlx::query(include_str!("progress/status.sql")).bind(view.name()).fetch_optional(pool).await
}

/// Returns all lanes of a rebuild, in order.
pub(super) async fn lanes(view: View, pool: &PgPool) -> sqlx::Result<Vec<Lane>> {
    let lanes = "select lane from rebuild_lanes where projection = $1 order by lane";
    let lanes: Vec<i16> = sqlx::query_scalar(lanes).bind(view.name()).fetch_all(pool).await?;
    Ok(lanes.into_iter().map(Lane).collect())
}

/// Returns the lanes that are not loaded yet, in order.
pub(super) async fn lanes_to_load(view: View, pool: &PgPool) -> sqlx::Result<Vec<Lane>> {
    let lanes = "select lane from rebuild_lanes where projection = $1 and not loaded order by lane";
    let lanes: Vec<i16> = sqlx::query_scalar(lanes).bind(view.name()).fetch_all(pool).await?;
    Ok(lanes.into_iter().map(Lane).collect())
}

/// Moves a lane's position to its head, unless its load has begun. Events from there on are caught
/// up with later.
pub(super) async fn note_head(
    view: View,
    lane: Lane,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("progress/note_head.sql"))
        .bind(view.name())
        .bind(lane.0)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the last user of a lane that was loaded, and whether all of them were.
pub(super) async fn loaded(
    view: View,
    lane: Lane,
    connection: &mut PgConnection,
) -> sqlx::Result<(Option<String>, bool)> {
    sqlx::query_as("select user_id, loaded from rebuild_lanes where projection = $1 and lane = $2")
        .bind(view.name())
        .bind(lane.0)
        .fetch_one(connection)
        .await
}

/// A step of the load of one lane.
pub(super) struct LoadedChunk<'c> {
    /// The last user before the chunk.
    pub after: Option<&'c str>,
    /// The last user of the chunk.
    pub last: Option<&'c str>,
    pub users: usize,
    pub events: i64,
    /// True if the lane has no further users.
    pub ends_lane: bool,
}

/// Moves the checkpoint of a lane's load. Returns false if it was elsewhere.
pub(super) async fn advance_load(
    view: View,
    lane: Lane,
    chunk: &LoadedChunk<'_>,
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    let moved = sqlx::query(include_str!("progress/advance_load.sql"))
        .bind(view.name())
        .bind(lane.0)
        .bind(chunk.after)
        .bind(chunk.last)
        .bind(i64::try_from(chunk.users).unwrap_or(i64::MAX))
        .bind(chunk.events)
        .bind(chunk.ends_lane)
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Moves the checkpoints of lanes over these spans. Returns false if one of them was elsewhere.
pub(super) async fn advance(
    view: View,
    spans: &[LaneSpan],
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    let moved = sqlx::query(include_str!("progress/advance.sql"))
        .bind(view.name())
        .bind(spans.iter().map(|span| span.lane.0).collect::<Vec<_>>())
        .bind(spans.iter().map(|span| span.after).collect::<Vec<_>>())
        .bind(spans.iter().map(|span| span.up_to).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(usize::try_from(moved.rows_affected()).is_ok_and(|moved| moved == spans.len()))
}

/// Returns the parts of the log by which the new version is behind it, in order of the lanes.
pub(super) async fn spans_behind(
    view: View,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<LaneSpan>> {
    let behind: Vec<(i16, i64, i64)> = sqlx::query_as(include_str!("progress/spans_behind.sql"))
        .bind(view.name())
        .fetch_all(connection)
        .await?;
    let span = |(lane, after, up_to)| LaneSpan { lane: Lane(lane), after, up_to };
    Ok(behind.into_iter().map(span).collect())
}

/// Returns a lane's checkpoint in the new version, and its head.
pub(super) async fn checkpoint_and_head(
    view: View,
    lane: Lane,
    connection: &mut PgConnection,
) -> sqlx::Result<(i64, i64)> {
    sqlx::query_as(include_str!("progress/checkpoint_and_head.sql"))
        .bind(view.name())
        .bind(lane.0)
        .fetch_one(connection)
        .await
}
