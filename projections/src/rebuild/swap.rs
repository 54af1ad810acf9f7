//! The last step: nothing is appended while all lanes are locked, so the new version can catch up
//! completely and take the place of the old one.
//!
//! An attempt holds writers up for [`HELD_MAX`] at most, and releases them if it makes no progress.
//! The pauses between attempts grow, so that writers have most of the time. While a transaction
//! keeps a lane locked, no attempt can succeed, so none is made. Under the locks an attempt uses
//! only the connection that holds them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use backon::BackoffBuilder as _;
use plaudit_domain::lane::Lane;
use plaudit_event_store::lanes as lane_locks;
use plaudit_event_store::pool::{ANSWER_MAX, Borrowed, within};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::time::Instant;

use super::run::{Run, StopReason};
use super::{catch_up, skipped, tables};
use crate::ProjectionError;
use crate::difference::Differences;
use crate::view::View;

/// Time for which an attempt may hold writers up, from the first lock of a lane until it commits.
/// Then its session is ended, whatever it does.
const HELD_MAX: Duration = Duration::from_secs(3);

/// The part of [`HELD_MAX`] that is kept for the steps after the last round: the rows of skipped
/// users, the locks of the tables, and the renames.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// Time limit for locking the lanes, of the first attempt and of any. Writers of lanes that are
/// already locked wait as well. Each attempt may take twice as long as the one before, since
/// batches on a busy machine take long.
const LANES_MAX: (Duration, Duration) = (Duration::from_millis(250), Duration::from_millis(1_500));

/// Interval between two looks at the holders of lanes.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Wait for the holders of lanes after which writers may have appended much.
const WAIT_SHORT: Duration = Duration::from_millis(100);

/// Maximum number of attempts.
const ATTEMPTS_MAX: usize = 10;

/// Maximum number of rounds without locks before an attempt.
const ROUNDS_MAX: u32 = 10;

/// Number of events that can be caught up with under the locks.
const BEHIND_MAX: i64 = 2_000;

/// Number of events below which another round without locks is not worth its time.
const BEHIND_FEW: i64 = 100;

/// Swaps the versions, with as little time under locks as possible.
pub(crate) async fn swap(run: &Run, differences: &Differences) -> Result<(), StopReason> {
    let mut pauses = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(15))
        .with_max_times(ATTEMPTS_MAX - 1)
        .with_jitter()
        .build();
    let mut lock_wait_max = LANES_MAX.0;
    loop {
        catch_up_closely(run).await?;
        let began = Instant::now();
        let held = lasting_lanes(lock_wait_max, &mut *run.pool.acquire().await?).await?;
        if let Some(lanes) = &held {
            tracing::info!(%lanes, "the swap of a rebuild waits for lanes that other transactions hold");
        } else {
            if began.elapsed() > WAIT_SHORT {
                catch_up::round(run).await?;
            }
            if try_swap(run, differences, lock_wait_max).await? {
                return Ok(());
            }
        }
        lock_wait_max = (lock_wait_max * 2).min(LANES_MAX.1);
        let Some(pause) = pauses.next() else {
            let projection = run.view.name();
            return Err(match held {
                Some(lanes) => ProjectionError::LanesHeld { projection, lanes }.into(),
                None => ProjectionError::NoRoom { projection }.into(),
            });
        };
        let _ = run.shutdown.run_until_cancelled(tokio::time::sleep(pause)).await;
        run.proceed(&mut *run.pool.acquire().await?).await?;
    }
}

/// Catches up without locks, until little is left or a round leaves as much as the one before: then
/// writers append as fast as rounds follow.
async fn catch_up_closely(run: &Run) -> Result<(), StopReason> {
    let mut before = i64::MAX;
    for _ in 0..ROUNDS_MAX {
        let left = catch_up::round(run).await?;
        if left <= BEHIND_FEW || (left <= BEHIND_MAX && left > before / 2) {
            break;
        }
        before = left;
    }
    Ok(())
}

/// Makes one attempt. Returns false if something was in the way, after all locks were released.
async fn try_swap(
    run: &Run,
    differences: &Differences,
    lock_wait_max: Duration,
) -> Result<bool, StopReason> {
    let lanes: BTreeSet<Lane> = run.lanes().await?.into_iter().collect();
    let mut connection = Borrowed::from(&run.pool).await?;
    let session: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut **connection).await?;
    let mut tx = connection.begin().await?;
    if !in_time(before_locks(run, &mut tx).await)? {
        tx.rollback().await?;
        connection.give_back();
        return Ok(false);
    }
    let deadline = Instant::now() + HELD_MAX;
    let held = under_locks(run, &lanes, differences, (lock_wait_max, deadline), &mut tx);
    let Ok(attempted) = tokio::time::timeout_at(deadline, held).await else {
        // PostgreSQL notices a closed connection only after the statement.
        end_session(run, session).await;
        tracing::info!("the swap of a rebuild took too long and is tried again");
        return Ok(false);
    };
    let is_swapped = in_time(attempted)?;
    if is_swapped {
        tx.commit().await?;
    } else {
        tx.rollback().await?;
    }
    connection.give_back();
    Ok(is_swapped)
}

/// Waits until each transaction that holds a lane now has ended. Returns the lanes of those that
/// last, separated by commas: locking all lanes would then hold all writers up for nothing.
async fn lasting_lanes(
    wait_max: Duration,
    connection: &mut PgConnection,
) -> sqlx::Result<Option<String>> {
    let deadline = Instant::now() + wait_max;
    let mut lasting = lane_locks::holders(connection).await?;
    while !lasting.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = lane_locks::holders(connection).await?;
        lasting.retain(|holder| now.contains(holder));
    }
    // Ordered by lane, and each once.
    let mut lanes: Vec<Lane> = lasting.into_iter().map(|(lane, _)| lane).collect();
    lanes.dedup();
    let listed = lanes.iter().map(Lane::to_string).collect::<Vec<_>>().join(", ");
    Ok((!lanes.is_empty()).then_some(listed))
}

/// Ends the session of an attempt, and so releases its locks.
async fn end_session(run: &Run, session: i32) {
    let ended = sqlx::query("select pg_terminate_backend($1)").bind(session);
    if let Err(error) = within(ANSWER_MAX, ended.execute(&run.questions)).await {
        tracing::warn!(%error, "the session of a late swap could not be ended; it ends with its statement");
    }
}

/// Takes what holds nobody up. Returns false if the rebuild is no longer this process's.
async fn before_locks(run: &Run, tx: &mut PgConnection) -> sqlx::Result<bool> {
    tx.execute(sqlx::raw_sql(&tables_held(run.view))).await?;
    // While this transaction holds the locks, no other process can drop the new tables and start
    // again.
    run.lease.is_held(tx).await
}

async fn under_locks(
    run: &Run,
    lanes: &BTreeSet<Lane>,
    differences: &Differences,
    (lock_wait_max, deadline): (Duration, Instant),
    tx: &mut PgConnection,
) -> sqlx::Result<bool> {
    // A standby that hangs must not hold the commit up, and with it all writers. A failover that
    // loses the swap loses the record of it too.
    // If this process freezes with the lanes locked, PostgreSQL ends the transaction. The statement
    // timeout limits the locking of all lanes: those that are locked already hold their writers up.
    let limits = format!(
        "set local idle_in_transaction_session_timeout = '2s'; set local synchronous_commit = local;
         set local statement_timeout = {}",
        lock_wait_max.as_millis()
    );
    tx.execute(sqlx::raw_sql(&limits)).await?;
    lane_locks::lock_all(lanes, tx).await?;
    tx.execute("set local statement_timeout = '1s'").await?;
    if !catch_up::last_round(run, deadline - LAST_STEPS, tx).await? {
        return Ok(false);
    }
    skipped::carry_over(run, tx).await?;
    // Shorter than PostgreSQL's deadlock_timeout (1 s), so that no reader is ended as a deadlock.
    // All readers lock the tables in this order.
    let names: Vec<_> = run.view.tables().iter().map(|table| table.name).collect();
    let lock = format!(
        "set local lock_timeout = '300ms'; lock table {} in access exclusive mode",
        names.join(", ")
    );
    tx.execute(sqlx::raw_sql(&lock)).await?;
    tables::swap(run.view, tx).await?;
    let done = sqlx::query(
        "update rebuilds
         set state = 'swapped', phase = 'done', finished_at = now(), differences = $2, error = null
         where projection = $1 and state = 'running'",
    )
    .bind(run.view.name())
    .bind(i64::try_from(differences.count).unwrap_or(i64::MAX))
    .execute(tx)
    .await?;
    // No row is updated if the rebuild was paused or cancelled at the last moment.
    Ok(done.rows_affected() == 1)
}

/// SQL that locks both versions of the tables against maintenance, before any lane is locked. It
/// blocks neither readers nor writers. PostgreSQL ends an autovacuum that is in the way after its
/// `deadlock_timeout` (1 s).
fn tables_held(view: View) -> String {
    let mut sql = String::from("set local lock_timeout = '3s';");
    for table in view.tables() {
        let name = table.name;
        let _ = write!(sql, "lock table {name}, {name}_new in share update exclusive mode;");
    }
    sql
}

/// Turns an error into false if a lock or a statement took too long.
fn in_time(attempted: sqlx::Result<bool>) -> sqlx::Result<bool> {
    /// `lock_not_available`, `query_canceled`.
    const TOO_LATE: [&str; 2] = ["55P03", "57014"];
    match attempted {
        Err(sqlx::Error::Database(error))
            if error.code().is_some_and(|code| TOO_LATE.contains(&code.as_ref())) =>
        {
            tracing::info!(%error, "the swap of a rebuild is tried again");
            Ok(false)
        }
        attempted => attempted,
    }
}
