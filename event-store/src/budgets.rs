//! `budget_takes`: the amount granted from each window of a budget.
//!
//! A batch reads the totals without a lock, decides, and takes the granted amounts with its last
//! statement, under the advisory locks of these windows. So batches wait for each other only from
//! there to the commit. If another batch was faster and a window no longer holds the amount, the
//! batch is rolled back and decided again under the locks. Lanes are locked before budgets, and
//! budgets in one order, so that no deadlock is possible.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plaudit_domain::catalogue::{BudgetKey, BudgetsUsed};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::purge;
use crate::states::undecodable;

/// The first key of the advisory locks: 'PLAB' in ASCII. The lanes use 'PLAU'.
const LOCK_CLASS: i32 = 0x504C_4142;

/// Time limit for waiting for a budget that other batches draw on.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The amount that a batch takes from a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Take {
    /// The amount.
    pub taken: i64,
    /// The limit in force.
    pub limit: i64,
}

/// Reads the amounts granted from these windows.
pub async fn used(
    keys: &BTreeSet<BudgetKey>,
    connection: &mut PgConnection,
) -> sqlx::Result<BudgetsUsed> {
    let mut found = BudgetsUsed::default();
    if keys.is_empty() {
        return Ok(found);
    }
    let rows = sqlx::query(include_str!("budgets/used.sql"))
        .bind(keys.iter().map(|key| key.budget.as_str()).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| key.window.as_str()).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for row in rows {
        let budget = row.try_get::<String, _>(0)?.try_into().map_err(undecodable)?;
        let key = BudgetKey { budget, window: row.try_get::<String, _>(1)?.into() };
        found.add(&key, row.try_get(2)?);
    }
    Ok(found)
}

/// Locks windows until the end of the transaction. Fails if another session holds one for
/// [`LOCK_WAIT`].
pub(crate) async fn lock<'k>(
    keys: impl Iterator<Item = &'k BudgetKey>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    // Two windows may share a lock. Their batches then wait for each other needlessly, but safely.
    let locks: BTreeSet<i32> = keys.map(lock_of).collect();
    let wait = LOCK_WAIT.as_millis().to_string();
    sqlx::query("select set_config('lock_timeout', $1, true)")
        .bind(wait)
        .execute(&mut *connection)
        .await?;
    // `unnest` returns the array in order.
    sqlx::query("select pg_advisory_xact_lock($1, lock) from unnest($2::integer[]) lock")
        .bind(LOCK_CLASS)
        .bind(locks.into_iter().collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// The second key of the lock of a window.
fn lock_of(BudgetKey { budget, window }: &BudgetKey) -> i32 {
    let hash = Uuid::new_v5(&Uuid::nil(), format!("{budget}\u{1f}{window}").as_bytes());
    let [a, b, c, d, ..] = hash.into_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// Takes the amounts that a batch grants. Returns `false` if a window no longer held its amount;
/// then the batch must be rolled back.
pub(crate) async fn take(
    takes: &BTreeMap<BudgetKey, Take>,
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    if takes.is_empty() {
        return Ok(true);
    }
    lock(takes.keys(), connection).await?;
    // A separate statement, so that its snapshot is taken after the locks.
    let done = sqlx::query(include_str!("budgets/take.sql"))
        .bind(takes.keys().map(|key| key.budget.as_str()).collect::<Vec<_>>())
        .bind(takes.keys().map(|key| key.window.as_str()).collect::<Vec<_>>())
        .bind(takes.values().map(|take| take.taken).collect::<Vec<_>>())
        .bind(takes.values().map(|take| take.limit).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(usize::try_from(done.rows_affected()).is_ok_and(|rows| rows == takes.len()))
}

/// Deletes totals replaced by a later one. The last total of each window is kept for ever, because
/// an action of an earlier day may still arrive.
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    purge::delete_in_steps(pool, include_str!("budgets/purge.sql")).await
}
