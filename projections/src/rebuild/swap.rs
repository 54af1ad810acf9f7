//! The last step: under the locks of all lanes, nothing is appended, so the new version can catch up with
//! all there is and take the place of the old one.

use std::fmt::Write as _;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::lanes::{self, LaneWait, LockOutcome};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;

use super::catch_up;
use super::run::{Halt, Run};
use super::{skipped, tables};
use crate::ProjectionError;
use crate::difference::Differences;
use crate::view::View;

/// For how long writers may be held up by the last round before it lets them go and tries again.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// How often that is tried.
const ATTEMPTS_MAX: u32 = 10;

/// A round without locks is short enough to be done under them when so few events are left.
const BEHIND_MAX: i64 = 2_000;

/// Swaps, with as little time under locks as can be had.
pub(crate) async fn swap(
    run: &Run,
    differences: &Differences,
    guard: &mut PgConnection,
) -> Result<(), Halt> {
    for attempt in 1..=ATTEMPTS_MAX {
        for _ in 0..ATTEMPTS_MAX {
            catch_up::round(run, None).await?;
            if catch_up::behind(run).await? <= BEHIND_MAX {
                break;
            }
        }
        if try_swap(run, differences, guard).await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200) * attempt).await;
    }
    Err(ProjectionError::NoRoom { projection: run.view.name() }.into())
}

/// One attempt; false if it took too long and let everybody go.
async fn try_swap(
    run: &Run,
    differences: &Differences,
    guard: &mut PgConnection,
) -> Result<bool, Halt> {
    let lanes = run.lanes().await?;
    let mut tx = guard.begin().await?;
    // It waits for the workers of the last round, who have connections of their own.
    let waits = "set local idle_in_transaction_session_timeout = 0";
    tx.execute(sqlx::raw_sql(waits)).await?;
    if !locked(tx.execute(sqlx::raw_sql(&tables_held(run.view))).await)?
        || !lanes_held(lanes, &mut tx).await?
        || !last_round(run).await?
    {
        tx.rollback().await?;
        return Ok(false);
    }
    skipped::carry_over(run, &mut tx).await?;
    // Shorter than PostgreSQL's deadlock_timeout (1 s): a reader that came in between is never ended.
    // All readers lock the tables in this order.
    let names: Vec<_> = run.view.tables().iter().map(|table| table.name).collect();
    let lock = format!(
        "set local lock_timeout = '500ms'; lock table {} in access exclusive mode",
        names.join(", ")
    );
    if !locked(tx.execute(sqlx::raw_sql(&lock)).await)? {
        tx.rollback().await?;
        return Ok(false);
    }
    if !locked(tables::swap(run.view, &mut tx).await)? {
        tx.rollback().await?;
        return Ok(false);
    }
    let done = sqlx::query(
        "update rebuilds
         set state = 'swapped', phase = 'done', finished_at = now(), differences = $2, error = null
         where projection = $1 and state = 'running'",
    )
    .bind(run.view.name())
    .bind(i64::try_from(differences.count).unwrap_or(i64::MAX))
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        // Paused or cancelled at the last moment.
        tx.rollback().await?;
        run.proceed().await?;
        return Ok(false);
    }
    tx.commit().await?;
    Ok(true)
}

/// Locks all lanes, so that nothing is appended. False if one can't be had soon.
async fn lanes_held(lanes: Vec<Lane>, tx: &mut PgConnection) -> sqlx::Result<bool> {
    let lanes = lanes.into_iter().collect();
    let held = lanes::lock(&lanes, LaneWait::UpTo(Duration::from_secs(1)), tx).await?;
    Ok(matches!(held, LockOutcome::Locked(_)))
}

/// Holds both versions of the tables against maintenance, before anybody is held up: neither
/// readers nor writers mind, and an autovacuum in the way is ended once it was waited for longer than
/// PostgreSQL's `deadlock_timeout` (1 s).
fn tables_held(view: View) -> String {
    let mut sql = String::from("set local lock_timeout = '3s';");
    for table in view.tables() {
        let name = table.name;
        let _ = write!(sql, "lock table {name}, {name}_new in share update exclusive mode;");
    }
    sql
}

/// The last round, for as long as writers may be held up. A connection that is not to be had is no
/// failure of the rebuild: others let go of theirs once the lanes are free.
async fn last_round(run: &Run) -> Result<bool, Halt> {
    match catch_up::round(run, Some(Instant::now() + ROUND_MAX)).await {
        Err(Halt::Failed(ProjectionError::Store(error))) if error.is_transient() => {
            tracing::warn!(%error, "the last round of a rebuild is tried again");
            Ok(false)
        }
        ended => ended,
    }
}

/// Whether a lock was had in time.
fn locked<T>(asked: sqlx::Result<T>) -> sqlx::Result<bool> {
    /// `lock_not_available`.
    const TIMED_OUT: &str = "55P03";
    match asked {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(TIMED_OUT) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
