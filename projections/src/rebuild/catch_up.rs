//! Catches up: applies the events after each lane's checkpoint to the new version. Lanes are taken
//! together, so that the number of statements does not depend on theirs.

use std::collections::BTreeMap;

use plaudit_event_store::reader::LaneSpan;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;

use super::apply::{Folds, apply};
use super::progress::spans_behind;
use super::run::{Run, StopReason};

/// Brings every lane to its current head. Returns the number of events that were appended during
/// the round.
pub(crate) async fn round(run: &Run) -> Result<i64, StopReason> {
    let behind = spans_behind(run.view, &mut *run.pool.acquire().await?).await?;
    let share = behind.len().div_ceil(run.workers).max(1);
    let shares = behind.chunks(share).map(<[LaneSpan]>::to_vec).collect();
    run.each(shares, catch_up_with).await?;
    let left = spans_behind(run.view, &mut *run.pool.acquire().await?).await?;
    Ok(left.iter().map(|span| span.up_to - span.after).sum())
}

async fn catch_up_with(run: Run, mut spans: Vec<LaneSpan>) -> Result<(), StopReason> {
    let mut connection = run.pool.acquire().await?;
    let mut folds = Folds::take(&run, &spans);
    while !spans.is_empty() {
        run.proceed(&mut connection).await?;
        let mut tx = connection.begin().await?;
        tx.execute("set local synchronous_commit = off").await?;
        if let Some(left) = apply(&run, &spans, &mut folds, &mut tx).await? {
            tx.commit().await?;
            spans = left;
        } else {
            // An aborted worker was still committing.
            tx.rollback().await?;
            let now = spans_behind(run.view, &mut connection).await?;
            let now: BTreeMap<_, _> = now.iter().map(|span| (span.lane, span.after)).collect();
            spans.retain_mut(|span| {
                span.after = now.get(&span.lane).copied().unwrap_or(span.up_to);
                span.after < span.up_to
            });
        }
    }
    Ok(())
}

/// Runs the last round, on the connection that holds the lanes and on no other. Returns false if it
/// was not done by the deadline.
pub(crate) async fn last_round(
    run: &Run,
    deadline: Instant,
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    let mut spans = spans_behind(run.view, connection).await?;
    let mut folds = Folds::take(run, &spans);
    while !spans.is_empty() && Instant::now() < deadline {
        match apply(run, &spans, &mut folds, connection).await? {
            Some(left) => spans = left,
            None => return Ok(false),
        }
    }
    Ok(spans.is_empty())
}
