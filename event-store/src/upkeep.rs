//! Housekeeping of the tables that batches only insert into. It runs beside the batches; none of it
//! is needed by the next one, and a failed task is retried a minute later.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::action_fields;
use crate::backfills;
use crate::budgets;
use crate::executor::Executor;
use crate::hand_receipts;
use crate::parked;
use crate::pool::Deadlined;
use crate::seen_actions::windows;
use crate::source_offsets;

/// Interval between rounds of upkeep.
const EVERY: Duration = Duration::from_secs(60);

/// Time limit for one task of upkeep.
const WORK_MAX: Duration = Duration::from_secs(10);

/// Runs until `stopped`: opens and drops dedup windows, and deletes outdated rows: replaced source
/// offsets and budget totals, old decisions about parked records, working rows of finished
/// backfills, old receipts of changes by hand, and action fields not seen for long. Writes the
/// action fields that the executor has seen, and finds out which unreadable logs were repaired.
pub async fn run(pool: PgPool, executor: Arc<Executor>, stopped: CancellationToken) {
    let database = Deadlined::new(&pool, WORK_MAX);
    loop {
        tokio::select! {
            () = round(&database, &executor) => {}
            () = stopped.cancelled() => return,
        }
        if tokio::time::timeout(EVERY, stopped.cancelled()).await.is_ok() {
            return;
        }
    }
}

/// Runs each task once. A task that fails or times out does not prevent the next ones.
async fn round(database: &Deadlined, executor: &Executor) {
    match database.call(|pool| async move { windows::upkeep(&pool).await }).await {
        Ok(done) if done.opened => {
            tracing::info!(window = done.current, "opened a dedup window");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(%error, "upkeep of the dedup windows failed; retrying in a minute");
        }
    }
    let offsets = database.call(|pool| async move { source_offsets::purge(&pool).await });
    warn("overtaken source offsets", offsets.await);
    let decisions = database.call(|pool| async move { parked::purge(&pool).await });
    warn("old decisions about parked records", decisions.await);
    let backfills = database.call(|pool| async move { backfills::actions::purge(&pool).await });
    warn("what finished backfills left", backfills.await);
    let receipts = database.call(|pool| async move { hand_receipts::purge(&pool).await });
    warn("old receipts of changes by hand", receipts.await);
    let totals = database.call(|pool| async move { budgets::purge(&pool).await });
    warn("overtaken totals of budgets", totals.await);
    let fields = database.call(|pool| async move { action_fields::purge(&pool).await });
    warn("fields that no action had for long", fields.await);
    let seen = |pool| async move { executor.seen_fields().save(&pool).await };
    if let Err(error) = database.call(seen).await {
        tracing::warn!(%error, "the fields of recent actions could not be noted; trying again in a minute");
    }
    let check = |pool| async move { executor.faults().check(&pool).await };
    if let Err(error) = database.call(check).await {
        tracing::warn!(%error, "the logs of users with unreadable events could not be read; trying again in a minute");
    }
}

fn warn<T>(what: &str, deleted: sqlx::Result<T>) {
    if let Err(error) = deleted {
        tracing::warn!(%error, "{what} could not be deleted; trying again in a minute");
    }
}
