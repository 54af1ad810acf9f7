//! Our executor held against stock cqrs-es and postgres-es on the same commands, and what stock
//! code appends taken up by ours.

mod support;

use cqrs_es::CqrsFramework;
use cqrs_es::persist::PersistedEventStore;
use plaudit_domain::action::Action;
use plaudit_domain::user_tasks::Command;
use plaudit_event_store::aggregate::UserTasksAggregate;
use postgres_es::PostgresEventRepository;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::{Store, TASKS, action, request};

type Stock = CqrsFramework<
    UserTasksAggregate,
    PersistedEventStore<PostgresEventRepository, UserTasksAggregate>,
>;

async fn stock(store: &Store) -> Stock {
    let repository = PostgresEventRepository::new(store.pool.clone())
        .with_tables("cqrs_events", "cqrs_snapshots");
    let catalogue = store.executor.catalogue().newest(&store.pool).await.unwrap();
    CqrsFramework::new(PersistedEventStore::new_event_store(repository), vec![], catalogue)
}

/// Actions of a few users over a few days, in no order.
fn actions(count: usize) -> Vec<Action> {
    let one = (0..40u32, 0..4u32, 0..6u32, 0..24u32, 0..400i64);
    let mut runner = TestRunner::deterministic();
    let drawn = prop::collection::vec(one, count).new_tree(&mut runner).unwrap().current();
    let make = |(n, (user, kind, day, hour, coins)): (usize, (u32, u32, u32, u32, i64))| {
        let user = format!("user {user}");
        let kind =
            ["team.formed", "gift.sent", "user.signed_in", "plaudit.user.updated"][kind as usize];
        let zone = ["Europe/Paris", "Asia/Tokyo", "UTC"][usize::try_from(coins % 3).unwrap()];
        let data = match kind {
            "gift.sent" => json!({"coins": coins}),
            "plaudit.user.updated" => json!({"zone": zone, "attributes": {"level": coins}}),
            _ => json!({}),
        };
        let time = format!("2026-03-{:02}T{hour:02}:30:00Z", 25 + day);
        action(&user, &format!("{n}"), kind, &time, &data)
    };
    drawn.into_iter().enumerate().map(make).collect()
}

async fn log_of(store: &Store) -> Vec<(String, i64, String, String, Value)> {
    sqlx::query_as("select aggregate_id, sequence, event_type, event_version, payload from events order by aggregate_id, sequence")
        .fetch_all(&store.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_executor_and_stock_cqrs_write_the_same_events() {
    let (ours, theirs) = (Store::with_tasks(TASKS).await, Store::with_tasks(TASKS).await);
    let actions = actions(4_000);
    for chunk in actions.chunks(97) {
        let items = chunk.iter().map(|a| ours.item(a.clone(), request())).collect();
        ours.execute(items).await;
    }
    let stock = stock(&theirs).await;
    for action in &actions {
        stock.execute(action.user.as_str(), Command::RecordAction(action.clone())).await.unwrap();
    }
    let (a, b) = (log_of(&ours).await, log_of(&theirs).await);
    assert!(a.len() > 2_000, "the commands make events: {}", a.len());
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(a, b);
    }
}

#[tokio::test]
async fn what_stock_code_appends_counts() {
    let store = Store::with_tasks(TASKS).await;
    let stock = stock(&store).await;
    let signed_in = |id: &str, day: u32| {
        let time = format!("2026-03-{day}T10:00:00Z");
        action("ann", id, "user.signed_in", &time, &json!({}))
    };
    store.act(signed_in("1", 27)).await;
    stock.execute("ann", Command::RecordAction(signed_in("2", 28))).await.unwrap();
    store.act(signed_in("3", 29)).await;
    let lengths: Vec<String> = sqlx::query_scalar(
        "select payload ->> 'current' from events where event_type = 'streak_advanced' order by sequence",
    )
    .fetch_all(&store.pool)
    .await
    .unwrap();
    assert_eq!(lengths, ["1", "2", "3"], "each saw the other's step");
    let stray = "select count(*) from events e join lanes l using (lane) where e.position >= l.next_position";
    assert_eq!(store.count(stray).await, 0);
}

/// The lane of a key is the same in SQL, for what stock code appends.
#[tokio::test]
async fn the_lane_of_a_key_is_the_same_in_sql() {
    let store = Store::with_tasks(TASKS).await;
    let mut keys: Vec<String> = (0..300).map(|n| format!("user-{n}")).collect();
    keys.extend(
        ["", "a", "ab", "abc", "abcd", "über", "日本語のユーザー", "🦀"].map(str::to_owned),
    );
    let lanes: Vec<i16> = sqlx::query_scalar(
        "select plaudit_lane(k) from unnest($1::text[]) with ordinality u (k, n) order by n",
    )
    .bind(&keys)
    .fetch_all(&store.pool)
    .await
    .unwrap();
    for (key, lane) in keys.iter().zip(lanes) {
        assert_eq!(plaudit_domain::lane::Lane::of(key, store.lane_count).0, lane, "{key}");
    }
}
