//! Upkeep survives failures of its connections.

use std::sync::Arc;

use crate::support::{Store, TASKS, eventually};
use plaudit_event_store::seen_actions::windows;
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

/// A purge that takes longer than upkeep gives it keeps what it has deleted: others see the first
/// step before the last one ends.
#[tokio::test]
async fn outdated_offsets_are_deleted_in_steps_that_last() {
    const OFFSETS: i64 = 60_000;
    let store = Store::with_tasks(TASKS).await;
    sqlx::raw_sql(
        "insert into lane_offsets (lane, topic, incarnation, partition, next_offset)
         select 0, 't', 0, n % 100, n from generate_series(1, 60000) n;
         create function slow() returns trigger language plpgsql as
             $$ begin perform pg_sleep(0.001); return old; end $$;
         create trigger slow before delete on lane_offsets for each row when (old.next_offset % 20 = 0)
             execute function slow()",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let executor = Arc::clone(&store.executor);
    let running = tokio::spawn(upkeep::run(store.pool.clone(), executor, stop.clone()));
    let left = eventually("some offsets are deleted", async || {
        let left = store.count("select count(*) from lane_offsets").await;
        (left < OFFSETS).then_some(left)
    })
    .await;
    assert!(left > 100, "all at once");
    assert_eq!(store.count("select max(next_offset) from lane_offsets").await, OFFSETS);
    stop.cancel();
    running.await.unwrap();
}

/// Without slowness, one round deletes all that is outdated.
#[tokio::test]
async fn the_last_offset_and_the_last_total_of_each_key_are_kept() {
    let store = Store::with_tasks(TASKS).await;
    sqlx::raw_sql(
        "insert into lane_offsets (lane, topic, incarnation, partition, next_offset)
         select lane, 't', 0, 0, n from generate_series(0, 1) lane, generate_series(1, 6000) n;
         insert into budget_takes (budget_id, window_key, used)
         select budget, 'w', n from unnest('{a,b}'::text[]) budget, generate_series(1, 6000) n",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let executor = Arc::clone(&store.executor);
    let running = tokio::spawn(upkeep::run(store.pool.clone(), executor, stop.clone()));
    let last = "select (select count(*) filter (where next_offset = 6000) * 10 + count(*) from lane_offsets) * 100
                     + (select count(*) filter (where used = 6000) * 10 + count(*) from budget_takes)";
    eventually("two of each are left", async || (store.count(last).await == 2222).then_some(()))
        .await;
    stop.cancel();
    running.await.unwrap();
}

/// Rows that are old enough by any clock are deleted; those that only look old since the clock
/// jumped ahead by sixty days are kept.
#[tokio::test]
async fn a_clock_that_jumps_ahead_by_weeks_deletes_nothing_early() {
    let store = Store::with_tasks(TASKS).await;
    sqlx::raw_sql(
        "update dedup_window set opened_at = opened_at - interval '60 days', looked_at = looked_at - interval '60 days';
         insert into hand_receipts (lane, user_id, operation, idempotency_key, receipt, given_at)
         select 0, 'ann', 'reset sign-in', days::text, '{}', now() - make_interval(days => days)
         from unnest('{61,200}'::int[]) days;
         insert into action_fields (action_type, field, first_seen_on, last_seen_on)
         select 'days.' || days, '', (now() at time zone 'utc')::date - days, (now() at time zone 'utc')::date - days
         from unnest('{61,200}'::int[]) days",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let stop = CancellationToken::new();
    let executor = Arc::clone(&store.executor);
    let running = tokio::spawn(upkeep::run(store.pool.clone(), executor, stop.clone()));
    // The last purge of a round.
    eventually("the old field is deleted", async || {
        let left = store.count("select count(*) from action_fields where action_type = 'days.200'");
        (left.await == 0).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(store.count("select count(*) from action_fields").await, 1);
    assert_eq!(
        store.count("select count(*) from hand_receipts where idempotency_key = '61'").await,
        1
    );
    assert_eq!(store.count("select count(*) from hand_receipts").await, 1);
    // A clock that is set right again counts from there.
    sqlx::raw_sql("update dedup_window set looked_at = looked_at + interval '60 days'")
        .execute(&store.pool)
        .await
        .unwrap();
    windows::upkeep(&store.pool).await.unwrap();
    let behind = "select extract(epoch from clock_timestamp() - plaudit_upkeep_time())::bigint";
    assert!(store.count(behind).await < 600, "{} s", store.count(behind).await);
    // What was skipped is caught up with: a minute for each minute that passes.
    sqlx::raw_sql(
        "update dedup_window
         set skipped = '10 minutes', looked_at = clock_timestamp() - interval '4 minutes'",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    windows::upkeep(&store.pool).await.unwrap();
    let left = store.count(behind).await;
    assert!((300..=420).contains(&left), "{left} s");
}
