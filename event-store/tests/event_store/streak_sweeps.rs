//! Abandoned streaks: their end is recorded once, whichever process sweeps, and found by an index.

use std::time::Duration;

use crate::support::{Store, action};
use plaudit_event_store::{CommandQueue, sweeper};
use serde_json::json;
use tokio_util::sync::CancellationToken;

const TASKS: &str = r"
tasks:
  - id: sign-in
    kind: continuous
    every: day
    objective: { on: user.signed_in, target: 1 }
    streak: { grace_periods: 1, freezes: { initial: 1, max: 1 } }
    milestones: [ { at: 7 } ]
  - id: gifts
    kind: periodic
    every: day
    objective: { on: gift.sent, target: 1 }
    milestones: [ { at: 1 } ]
";

const DUE: &str = "select count(*) from streak_looks where due_at <= now()";

async fn signs_in(store: &Store, user: &str, day: u8) {
    let time = format!("2026-03-{day:02}T09:00:00Z");
    store.act(action(user, &time, "user.signed_in", &time, &json!({}))).await;
}

/// Runs sweepers, each as if in another process, until no streak is due.
async fn sweep(store: &Store, sweepers: usize) {
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..sweepers {
        let queue = CommandQueue::start(store.executor.clone(), 2);
        running.spawn(sweeper::run(store.pool.clone(), queue, stop.clone()));
    }
    let settled = async {
        while store.count(DUE).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), settled).await.expect("all is settled");
    stop.cancel();
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// The events about streaks, by user and in order of their streams.
async fn events(store: &Store) -> Vec<String> {
    sqlx::query_scalar(
        "select aggregate_id || ' ' || payload::text from events where event_type like 'streak_%'
         order by aggregate_id, sequence",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_several_sweepers_record_once_that_the_streaks_of_absent_users_broke() {
    let store = Store::with_tasks(TASKS).await;
    for user in 0..40 {
        signs_in(&store, &format!("u{user}"), 1).await;
    }
    assert_eq!(store.count(DUE).await, 40);
    sweep(&store, 3).await;
    for (event, at) in [
        ("streak_protected", "2026-03-03T00:00:00Z"),
        ("streak_protected", "2026-03-04T00:00:00Z"),
        ("streak_broken", "2026-03-05T00:00:00Z"),
    ] {
        let recorded = format!(
            "select count(*) from events where event_type = '{event}' and payload->>'at' = '{at}'"
        );
        assert_eq!(store.count(&recorded).await, 40, "{event}");
    }
    assert_eq!(store.count("select count(*) from streak_looks where due_at is not null").await, 0);
    assert_eq!(store.count("select count(*) from events").await, 40 * 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_13_the_sweeper_records_what_the_next_step_would_have_recorded() {
    let (swept, lazy) = (Store::with_tasks(TASKS).await, Store::with_tasks(TASKS).await);
    for (store, sweeps) in [(&swept, true), (&lazy, false)] {
        for day in [1, 2] {
            signs_in(store, "u1", day).await;
        }
        if sweeps {
            sweep(store, 1).await;
        }
        signs_in(store, "u1", 9).await;
    }
    let recorded = events(&swept).await;
    assert_eq!(recorded.len(), 6, "{recorded:?}");
    assert_eq!(recorded, events(&lazy).await);
}

/// Also with rows of an earlier release, which hold the first instant at which something may be
/// due.
#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_comes_too_early_writes_no_event_and_finds_the_right_time() {
    let store = Store::with_tasks(TASKS).await;
    let now = jiff::Timestamp::now().to_string();
    store.act(action("u1", "1", "user.signed_in", &now, &json!({}))).await;
    store.act(action("u1", "2", "gift.sent", &now, &json!({}))).await;
    let exact = "select count(*) from streak_looks where task_id = 'sign-in' and due_at > now() + interval '1 day'";
    assert_eq!(store.count(exact).await, 1);
    assert_eq!(store.count("select count(*) from streak_looks").await, 1, "none of other tasks");
    let before = store.count("select count(*) from events").await;
    sqlx::raw_sql("update streak_looks set due_at = '2026-01-01T00:00:00Z'")
        .execute(&store.pool)
        .await
        .unwrap();
    sweep(&store, 1).await;
    assert_eq!(store.count(exact).await, 1);
    assert_eq!(store.count("select count(*) from events").await, before);
}
