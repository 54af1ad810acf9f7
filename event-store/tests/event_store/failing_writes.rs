//! A database that refuses all writes makes a process unready until it accepts them again.

use std::sync::Arc;

use plaudit_event_store::CommandQueue;
use serde_json::json;

use crate::support::{Store, TASKS, action, eventually, request};

/// Refuses all writes, like a full disk.
const FULL_DISK: &str = "
    create function refuse() returns trigger language plpgsql as $$
    begin raise 'could not extend file: no space left on device' using errcode = '53100'; end $$;
    create trigger refuse before insert on events for each row execute function refuse();
    create trigger refuse before insert on operations for each row execute function refuse()";

const DISK_WITH_ROOM: &str = "drop trigger refuse on events; drop trigger refuse on operations";

/// An unready process gets no requests, so no request would detect that the database is back.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_failed_are_found_to_work_again_without_a_request() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(Arc::clone(&store.executor), 1);
    let sign_in = action("ann", "1", "user.signed_in", "2026-03-29T12:00:00Z", &json!({}));
    sqlx::raw_sql(FULL_DISK).execute(&store.pool).await.unwrap();
    let failed = queue.submit(vec![store.item(sign_in, request())]).await;
    failed.unwrap_err();
    let (_, why) = queue.failing().expect("nothing can be written");
    assert!(why.contains("no space left"), "{why}");
    // Still failing after several probes: a database that merely answers is no proof.
    let lasted = eventually("it has failed for some seconds", async || {
        let (since, _) = queue.failing().expect("nothing can be written still");
        Some(since).filter(|since| since.as_secs() >= 4)
    });
    lasted.await;
    sqlx::raw_sql(DISK_WITH_ROOM).execute(&store.pool).await.unwrap();
    eventually("writes work again", async || queue.failing().is_none().then_some(())).await;
    assert_eq!(store.count("select count(*) from operations").await, 0, "the probe leaves nothing");
}

/// No request shows that the database became read-only, so the process has to find out by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_notices_that_nothing_can_be_written() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(Arc::clone(&store.executor), 1);
    sqlx::raw_sql(FULL_DISK).execute(&store.pool).await.unwrap();
    let why = eventually("the idle process fails", async || queue.failing().map(|(_, why)| why));
    assert!(why.await.contains("no space left"));
    sqlx::raw_sql(DISK_WITH_ROOM).execute(&store.pool).await.unwrap();
    eventually("writes work again", async || queue.failing().is_none().then_some(())).await;
    assert_eq!(store.count("select count(*) from operations").await, 0, "the probe leaves nothing");
}

/// A migration or an operator may lock the table that is probed; batches go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_the_probed_table_is_no_failure() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(Arc::clone(&store.executor), 1);
    let mut holder = store.pool.begin().await.unwrap();
    sqlx::raw_sql("set local idle_in_transaction_session_timeout = 0; lock table operations in exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let waited =
        "select count(*) from pg_locks where not granted and relation = 'operations'::regclass";
    for expected in [1, 0] {
        eventually("a probe waits, and ends", async || {
            (store.count(waited).await == expected).then_some(())
        })
        .await;
    }
    assert!(queue.failing().is_none(), "{:?}", queue.failing());
    holder.rollback().await.unwrap();
}
