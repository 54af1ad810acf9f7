//! Deletes outdated rows in bounded steps. Each purge runs within the deadline that upkeep gives it.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::Instant;

/// Maximum number of rows that one statement deletes.
pub(crate) const DELETED_MAX: i64 = 10_000;

/// Maximum number of statements of [`delete_in_steps`].
const STEPS_MAX: u32 = 100;

/// Time after which [`delete_in_steps`] begins no further statement. The rest is deleted in the
/// next round.
const STEPS_FOR: Duration = Duration::from_secs(6);

/// Deletes rows by a statement that takes the maximum number of rows as `$1`, until it finds no
/// more, and within bounds. Each statement is a transaction, so that what is deleted stays deleted
/// however long the rest takes.
pub(crate) async fn delete_in_steps(pool: &PgPool, sql: &str) -> sqlx::Result<()> {
    let began = Instant::now();
    for _ in 0..STEPS_MAX {
        let deleted = sqlx::query(sql).bind(DELETED_MAX).execute(pool).await?.rows_affected();
        let is_last = i64::try_from(deleted).is_ok_and(|deleted| deleted < DELETED_MAX);
        if is_last || began.elapsed() >= STEPS_FOR {
            break;
        }
    }
    Ok(())
}
