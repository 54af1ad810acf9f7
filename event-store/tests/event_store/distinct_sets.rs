//! The cost of a set of distinct values for each action that is counted with it: the figures of decision 0027.

use std::time::Instant;

use crate::support::{Store, action, request};
use serde_json::{Value, json};
use sqlx::Connection;

const ROOMS: &str = "
tasks:
  - id: rooms
    kind: ordinary
    objective: { on: room.seen, measure: { distinct: data.room }, target: 10000 }
";

/// Actions that are counted one by one at each size.
const MEASURED: usize = 10;

fn seen(room: usize) -> plaudit_domain::action::Action {
    let time = "2026-03-29T12:00:00Z";
    action("u", &format!("a{room}"), "room.seen", time, &json!({ "room": room }))
}

/// The WAL that rewriting the user's row takes, in bytes, without what others write meanwhile.
async fn wal_bytes_of_a_rewrite(store: &Store) -> i64 {
    let mut connection = store.pool.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    let rewrite = "explain (analyze, wal, format json)
        update task_view set details = (details::jsonb || '{\"surplus\": 1}')::json where user_id = 'u'";
    let explained: Value = sqlx::query_scalar(rewrite).fetch_one(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    explained[0]["Plan"]["WAL Bytes"].as_i64().unwrap()
}

#[tokio::test]
async fn a_set_of_distinct_values_is_rewritten_with_each_action_that_adds_to_it() {
    let store = Store::with_tasks(ROOMS).await;
    let mut rooms = 0;
    for (values, wal_bytes_max) in [(500, 24_000), (2_000, 72_000), (9_900, 320_000)] {
        while rooms < values {
            let upto = (rooms + 500).min(values);
            let items = (rooms..upto).map(|room| store.item(seen(room), request())).collect();
            store.execute(items).await;
            rooms = upto;
        }
        let began = Instant::now();
        for _ in 0..MEASURED {
            store.act(seen(rooms)).await;
            rooms += 1;
        }
        let each = began.elapsed() / u32::try_from(MEASURED).unwrap();
        let bytes = wal_bytes_of_a_rewrite(&store).await;
        println!("{values} values: {bytes} bytes of WAL for the row, {each:?} for an action");
        assert!(bytes < wal_bytes_max, "{values} values: {bytes} bytes");
    }
    let progress = store.count("select progress from task_view where user_id = 'u'").await;
    assert_eq!(usize::try_from(progress).unwrap(), rooms, "each of them counted once");
}
