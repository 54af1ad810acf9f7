//! Housekeeping of the tables that batches only add to. Beside the batches: none of it is needed by the next
//! one, and what fails is tried again a minute later.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::backfills;
use crate::budgets;
use crate::hand_receipts;
use crate::parked;
use crate::seen_actions::windows;
use crate::source_offsets;

/// How often upkeep looks.
const EVERY: Duration = Duration::from_secs(60);

/// Runs until `stopped`: opens and drops dedup windows, and deletes what has had its time: source offsets and totals of
/// budgets that are overtaken, old decisions about parked records, what finished backfills left, and old receipts of
/// changes by hand.
pub async fn run(pool: PgPool, stopped: CancellationToken) {
    loop {
        match windows::upkeep(&pool).await {
            Ok(done) if done.opened => {
                tracing::info!(window = done.current, "opened a dedup window");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the dedup windows could not be looked after; trying again in a minute");
            }
        }
        if let Err(error) = source_offsets::purge(&pool).await {
            tracing::warn!(%error, "overtaken source offsets could not be deleted; trying again in a minute");
        }
        if let Err(error) = parked::purge(&pool).await {
            tracing::warn!(%error, "old decisions about parked records could not be deleted; trying again in a minute");
        }
        if let Err(error) = backfills::actions::purge(&pool).await {
            tracing::warn!(%error, "what finished backfills left could not be deleted; trying again in a minute");
        }
        if let Err(error) = hand_receipts::purge(&pool).await {
            tracing::warn!(%error, "old receipts of changes by hand could not be deleted; trying again in a minute");
        }
        if let Err(error) = budgets::purge(&pool).await {
            tracing::warn!(%error, "overtaken totals of budgets could not be deleted; trying again in a minute");
        }
        if tokio::time::timeout(EVERY, stopped.cancelled()).await.is_ok() {
            return;
        }
    }
}
