//! `budget_takes`: the amount granted from each window of a budget.
//!
//! A batch reads the totals without a lock, decides, and takes the granted amounts with its last
//! statement, under the advisory locks of these windows. So batches wait for each other only from
//! there to the commit. If another batch was faster and a window no longer holds the amount, the
//! batch is rolled back and decided again under the locks. Lanes are locked before budgets, and
//! budgets in one order, so that no deadlock is possible.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plaudit_domain::catalogue::{BudgetKey, BudgetsUsed};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::lanes::LOCK_NOT_AVAILABLE;
use crate::pool;
use crate::purge;
use crate::states::undecodable;

/// The first key of the advisory locks: 'PLAB' in ASCII. The lanes use 'PLAU'.
const LOCK_CLASS: i32 = 0x504C_4142;

/// Time limit for waiting for a budget that other batches draw on: some of their commits. A worker
/// that waits does no other work, so a batch that meets a longer lock is put back.
const LOCK_WAIT: Duration = Duration::from_millis(300);

/// The same after a wait that was too long, until a budget could be locked.
const LOCK_WAIT_WHILE_HELD: Duration = Duration::from_millis(20);

/// True if the last batch of an executor that waited for a budget found it held.
#[derive(Debug, Default)]
pub(crate) struct BudgetsHeld(AtomicBool);

impl BudgetsHeld {
    fn lock_wait(&self) -> Duration {
        if self.0.load(Ordering::Relaxed) { LOCK_WAIT_WHILE_HELD } else { LOCK_WAIT }
    }

    fn note(&self, is_held: bool) {
        self.0.store(is_held, Ordering::Relaxed);
    }
}

/// The amount that a batch takes from a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Take {
    /// The amount.
    pub taken: i64,
    /// The limit in force.
    pub limit: i64,
}

/// The outcome of taking from budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All amounts are taken.
    All,
    /// A window no longer held its amount. The batch must be rolled back.
    UsedUp,
    /// Another session holds a window. The batch must be rolled back.
    Held,
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

/// Locks windows until the end of the transaction. Returns `false` if another session holds one for
/// [`LOCK_WAIT`]; then the batch must be rolled back.
pub(crate) async fn lock<'k>(
    keys: impl Iterator<Item = &'k BudgetKey>,
    held: &BudgetsHeld,
    connection: &mut PgConnection,
) -> sqlx::Result<bool> {
    // Two windows may share a lock. Their batches then wait for each other needlessly, but safely.
    let locks: BTreeSet<i32> = keys.map(lock_of).collect();
    let wait = held.lock_wait().as_millis().to_string();
    sqlx::query("select set_config('lock_timeout', $1, true)")
        .bind(wait)
        .execute(&mut *connection)
        .await?;
    // `unnest` returns the array in order.
    let locked =
        sqlx::query("select pg_advisory_xact_lock($1, lock) from unnest($2::integer[]) lock")
            .bind(LOCK_CLASS)
            .bind(locks.into_iter().collect::<Vec<_>>())
            .execute(&mut *connection)
            .await;
    match locked {
        Ok(_) => {
            held.note(false);
            // What follows in the transaction may wait for other locks for longer.
            sqlx::query("select set_config('lock_timeout', $1, true)")
                .bind(pool::LOCK_TIMEOUT)
                .execute(connection)
                .await?;
            Ok(true)
        }
        Err(sqlx::Error::Database(error))
            if error.code().as_deref() == Some(LOCK_NOT_AVAILABLE) =>
        {
            held.note(true);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The second key of the lock of a window.
fn lock_of(BudgetKey { budget, window }: &BudgetKey) -> i32 {
    let hash = Uuid::new_v5(&Uuid::nil(), format!("{budget}\u{1f}{window}").as_bytes());
    let [a, b, c, d, ..] = hash.into_bytes();
    i32::from_be_bytes([a, b, c, d])
}

/// Takes the amounts that a batch grants.
pub(crate) async fn take(
    takes: &BTreeMap<BudgetKey, Take>,
    held: &BudgetsHeld,
    connection: &mut PgConnection,
) -> sqlx::Result<Taken> {
    if takes.is_empty() {
        return Ok(Taken::All);
    }
    if !lock(takes.keys(), held, connection).await? {
        return Ok(Taken::Held);
    }
    // A separate statement, so that its snapshot is taken after the locks.
    let done = sqlx::query(include_str!("budgets/take.sql"))
        .bind(takes.keys().map(|key| key.budget.as_str()).collect::<Vec<_>>())
        .bind(takes.keys().map(|key| key.window.as_str()).collect::<Vec<_>>())
        .bind(takes.values().map(|take| take.taken).collect::<Vec<_>>())
        .bind(takes.values().map(|take| take.limit).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    let is_taken = usize::try_from(done.rows_affected()).is_ok_and(|rows| rows == takes.len());
    Ok(if is_taken { Taken::All } else { Taken::UsedUp })
}

/// Deletes totals replaced by a later one. The last total of each window is kept for ever, because
/// an action of an earlier day may still arrive.
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    purge::delete_in_steps(pool, include_str!("budgets/purge.sql")).await
}
