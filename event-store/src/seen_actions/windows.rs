//! Dedup windows: the next partition is created long before it is needed; a partition that is no
//! longer read is dropped when no session holds the table. No batch, start or migration waits for
//! this.

use sqlx::{Executor as _, PgPool};

/// The time for which a window stays open, in seconds. An identity is known for at least this long.
pub const WINDOW_SECONDS: i64 = 7 * 24 * 3600;

/// Time limit for waiting for another process that creates a partition.
const LOCK_TIMEOUT: &str = "2s";

/// Time limit for getting the table exclusively. All batches queue up behind this wait. A batch
/// holds the table for milliseconds, but a dump for its whole duration.
const DROP_LOCK_TIMEOUT: &str = "50ms";

/// The maximum time between two looks at the open window that counts towards its age, in seconds.
/// Upkeep looks every minute. A longer gap means that the clock jumped ahead or no process ran. If
/// it counted in full, windows could change too early, and identities younger than
/// [`WINDOW_SECONDS`] would be forgotten. The SQL function `plaudit_upkeep_time`, by which other rows
/// are aged, has the same limit.
const LOOK_SECONDS_MAX: i64 = 300;

/// The result of a round of upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upkeep {
    /// The number of the open window.
    pub current: i32,
    /// True if a new window was opened.
    pub opened: bool,
}

/// Creates the partitions of the open window, the previous one and the next; opens the next one if
/// the open one is seven days old; drops older ones.
///
/// Only the creation is essential, and it never waits for readers. A window is opened only if its
/// partition exists, and only one per call. A clock that jumps ahead does not age a window.
pub async fn upkeep(pool: &PgPool) -> sqlx::Result<Upkeep> {
    let done = make_and_open(pool).await?;
    if let Err(error) = drop_old(done.current, pool).await {
        tracing::debug!(%error, "an old dedup window can't be dropped now");
    }
    Ok(done)
}

/// Like [`upkeep`], without dropping anything.
pub async fn make_and_open(pool: &PgPool) -> sqlx::Result<Upkeep> {
    let mut current = make_partitions(pool).await?;
    let opened = open_next(current, pool).await?;
    if opened {
        current += 1;
        make_partitions(pool).await?;
    }
    Ok(Upkeep { current, opened })
}

/// Creates the missing partitions. Returns the open window.
pub(crate) async fn make_partitions(pool: &PgPool) -> sqlx::Result<i32> {
    let mut tx = pool.begin().await?;
    // Several processes may do this at once.
    tx.execute(sqlx::raw_sql(&format!(
        "set local lock_timeout = '{LOCK_TIMEOUT}';
         select pg_advisory_xact_lock(hashtext('plaudit seen_actions'))"
    )))
    .await?;
    let current: i32 =
        sqlx::query_scalar("select current from dedup_window").fetch_one(&mut *tx).await?;
    let existing = partitions(&mut tx).await?;
    for window in current - 1..=current + 1 {
        if existing.iter().any(|(_, known)| *known == window) {
            continue;
        }
        // Created separately and then attached, which waits for no reader and no batch.
        let sql = format!(
            "create table seen_actions_{window} (like seen_actions including all);
             alter table seen_actions attach partition seen_actions_{window} for values in ({window})"
        );
        tx.execute(sqlx::raw_sql(&sql)).await?;
    }
    tx.commit().await?;
    Ok(current)
}

/// Opens the window after `current` if `current` is old enough.
async fn open_next(current: i32, pool: &PgPool) -> sqlx::Result<bool> {
    // An `opened_at` in the future comes from before the database's clock was set back. It counts
    // as now.
    let mut tx = pool.begin().await?;
    sqlx::query(include_str!("windows/look.sql"))
        .bind(seconds(LOOK_SECONDS_MAX))
        .execute(&mut *tx)
        .await?;
    let opened = sqlx::query(include_str!("windows/open_next.sql"))
        .bind(current)
        .bind(seconds(WINDOW_SECONDS))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(opened.rows_affected() == 1)
}

#[expect(clippy::cast_precision_loss, reason = "a week has few seconds")]
fn seconds(whole: i64) -> f64 {
    whole as f64
}

/// Drops the partitions of windows that are no longer read.
async fn drop_old(current: i32, pool: &PgPool) -> sqlx::Result<()> {
    let mut tx = pool.begin().await?;
    let partitions = partitions(&mut tx).await?;
    let old: Vec<_> = partitions.iter().filter(|(_, known)| *known < current - 1).collect();
    if old.is_empty() {
        return tx.rollback().await;
    }
    // One process at a time. All locks are taken before anything is changed.
    tx.execute(sqlx::raw_sql(&format!(
        "set local lock_timeout = '{DROP_LOCK_TIMEOUT}';
         select pg_advisory_xact_lock(hashtext('plaudit seen_actions'));
         lock table seen_actions in access exclusive mode"
    )))
    .await?;
    for (table, _) in old {
        tx.execute(sqlx::raw_sql(&format!("drop table {table}"))).await?;
    }
    tx.commit().await
}

async fn partitions(connection: &mut sqlx::PgConnection) -> sqlx::Result<Vec<(String, i32)>> {
    sqlx::query_as(include_str!("windows/partitions.sql")).fetch_all(connection).await
}
