//! The types and fields of recent actions, written by upkeep beside the batches.

use std::sync::Arc;

use plaudit_domain::action::{RecentFields, RecentNames};
use plaudit_event_store::{action_fields, upkeep};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{Store, TASKS, action, eventually};

/// Runs upkeep until the query finds a row.
async fn upkept(store: &Store, fact: &str, query: &str) {
    let stop = CancellationToken::new();
    let executor = Arc::clone(&store.executor);
    let running = tokio::spawn(upkeep::run(store.pool.clone(), executor, stop.clone()));
    eventually(fact, async || (store.count(query).await > 0).then_some(())).await;
    stop.cancel();
    running.await.unwrap();
}

async fn act(store: &Store, kind: &str, data: Value) {
    let id = store.count("select count(*) from seen_actions").await.to_string();
    store.act(action("ann", &id, kind, "2026-03-01T10:00:00Z", &data)).await;
}

async fn recent(store: &Store, types: &[&str]) -> RecentFields {
    let types: Vec<String> = types.iter().map(|kind| (*kind).to_owned()).collect();
    action_fields::recent(&store.pool, &types).await.unwrap()
}

fn names(fields: &RecentFields, kind: &str) -> Vec<String> {
    match fields.of(kind) {
        RecentNames::Names(names) => names.iter().cloned().collect(),
        other => panic!("{kind}: {other:?}"),
    }
}

#[tokio::test]
async fn the_fields_of_applied_actions_are_known_after_a_round_of_upkeep() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(recent(&store, &["gift.sent"]).await, RecentFields::default());
    act(&store, "gift.sent", json!({ "coins": 10, "room": { "id": 1 } })).await;
    act(&store, "gift.sent", json!({ "coins": 20, "combo": true, "a\0b": 1 })).await;
    act(&store, "ticket.bought", json!({})).await;
    upkept(&store, "the last name", "select count(*) from action_fields where field = 'combo'")
        .await;
    let fields = recent(&store, &["gift.sent", "team.formed", "ticket.bought"]).await;
    let today: String = sqlx::query_scalar("select (now() at time zone 'utc')::date::text")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert!(fields.since().unwrap().to_string() <= today);
    assert_eq!(names(&fields, "gift.sent"), ["coins", "combo", "room", "room.id"]);
    assert_eq!(names(&fields, "ticket.bought"), Vec::<String>::new());
    assert_eq!(fields.of("team.formed"), RecentNames::NoAction);
}

#[tokio::test]
async fn what_was_not_seen_for_thirty_days_is_forgotten() {
    let store = Store::with_tasks(TASKS).await;
    sqlx::query(
        "insert into action_fields (action_type, field, first_seen_on, last_seen_on)
         select kind, name, current_date - 90, current_date - days from (values
             ('gift.sent', '', 3), ('gift.sent', 'coins', 3), ('gift.sent', 'old', 40), ('gone', '', 40)
         ) seen (kind, name, days)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    let fields = recent(&store, &["gift.sent", "gone"]).await;
    assert_eq!(names(&fields, "gift.sent"), ["coins"]);
    assert_eq!(fields.of("gone"), RecentNames::NoAction);
    let days = "select (now() at time zone 'utc')::date - $1::date";
    let days: i32 = sqlx::query_scalar(days)
        .bind(fields.since().unwrap().to_string().parse::<chrono::NaiveDate>().unwrap())
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert!((30..=31).contains(&days), "{days} days, although it was first seen 90 days ago");
    upkept(&store, "a deletion", "select (count(*) = 2)::int::bigint from action_fields").await;
}

#[tokio::test]
async fn a_producer_that_makes_names_up_fills_no_more_than_its_share() {
    let store = Store::with_tasks(TASKS).await;
    for round in 0..3 {
        let data = (0..60).map(|n| (format!("r{round}n{n}"), json!(1)));
        act(&store, "gift.sent", Value::Object(data.collect())).await;
    }
    for number in 0..300 {
        act(&store, &format!("type.{number}"), json!({ "n": 1 })).await;
    }
    upkept(&store, "names", "select count(*) from action_fields where field = 'n'").await;
    let of_gifts =
        "select count(*) from action_fields where action_type = 'gift.sent' and field <> ''";
    assert_eq!(store.count(of_gifts).await, 64);
    assert_eq!(store.count("select count(*) from action_fields where field = ''").await, 256);
    let fields = recent(&store, &["gift.sent", "type.299"]).await;
    assert_eq!(fields.of("gift.sent"), RecentNames::Unknown, "its other names are not noted");
    assert_eq!(fields.of("type.299"), RecentNames::Unknown, "it was seen, but not noted");
    // Another process has room in its memory, but the table is full.
    sqlx::query("update action_fields set last_seen_on = last_seen_on - 1")
        .execute(&store.pool)
        .await
        .unwrap();
    let other = Store { executor: Arc::new(store.another_executor()), ..store };
    act(&other, "gift.sent", json!({ "new": 1, "r0n1": 1 })).await;
    act(&other, "type.299", json!({ "n": 1 })).await;
    let seen_again = "select count(*) from action_fields where field = 'r0n1' and last_seen_on >= (now() at time zone 'utc')::date - 0";
    upkept(&other, "a name seen again", seen_again).await;
    assert_eq!(other.count(of_gifts).await, 64);
    assert_eq!(
        other.count("select count(*) from action_fields where action_type = 'type.299'").await,
        0
    );
}
