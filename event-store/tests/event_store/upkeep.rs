//! Upkeep survives failures of its connections.

use std::sync::Arc;

use crate::support::{Store, TASKS, eventually};
use plaudit_event_store::upkeep;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_connection_that_falls_silent_does_not_stop_upkeep() {
    let store = Store::with_tasks(TASKS).await;
    sqlx::query(
        "insert into hand_receipts (lane, user_id, operation, idempotency_key, receipt, given_at)
         values (0, 'ann', 'reset sign-in', 'k', '{}', now() - interval '60 days')",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let (proxy, pool) = store.through_proxy().await;
    // A connection used a moment ago is handed out without a test.
    sqlx::query("select 1").execute(&pool).await.unwrap();
    proxy.freeze();
    let stop = CancellationToken::new();
    let executor = Arc::clone(&store.executor);
    let running = tokio::spawn(upkeep::run(pool, executor, stop.clone()));
    eventually("the old receipt is deleted", async || {
        let left = store.count("select count(*) from hand_receipts").await;
        (left == 0).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}
