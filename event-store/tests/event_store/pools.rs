//! The settings of connections: what PostgreSQL does about a client that has left.

use plaudit_event_store::pool;

use crate::support::{Store, TASKS, eventually};

const RUNNING: &str =
    "select count(*) from pg_stat_activity where state = 'active' and query like '%given up%'
    and pid <> pg_backend_pid()";

/// A request that is given up leaves a statement that nobody waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_request_was_given_up_is_ended() {
    let store = Store::with_tasks(TASKS).await;
    let asked = pool::reserved_for_requests(&store.pool, 1);
    let requests = asked.clone();
    let request = tokio::spawn(async move {
        sqlx::query("select pg_sleep(600) /* given up */").execute(&requests).await
    });
    let running = async |expected| {
        eventually("the statement runs, and no longer", async || {
            (store.count(RUNNING).await == expected).then_some(())
        })
        .await;
    };
    running(1).await;
    request.abort();
    // Much less than the time limit of a statement would take.
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), running(0)).await;
    assert!(ended.is_ok(), "PostgreSQL has not noticed that the connection is closed");
    drop(asked);
}

#[tokio::test]
async fn only_statements_of_requests_have_a_time_limit() {
    let store = Store::with_tasks(TASKS).await;
    let limit = async |pool| {
        sqlx::query_scalar::<_, String>("show statement_timeout").fetch_one(&pool).await.unwrap()
    };
    assert_eq!(limit(pool::reserved_for_requests(&store.pool, 1)).await, "30s");
    assert_eq!(limit(pool::reserved_probing(&store.pool, 1)).await, "0");
    assert_eq!(limit(pool::reserved(&store.pool, 1)).await, "0");
}
