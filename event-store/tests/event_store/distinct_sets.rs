//! Sets of distinct values too large for the row of their task: exact, cheap to add to, and deleted
//! with their period. The first test produces the figures of decision 0030.

use std::ops::Range;
use std::time::Instant;

use crate::support::{Store, action, request};
use plaudit_domain::action::Action;
use plaudit_event_store::{ActionAnswer, Batch, Executor};
use serde_json::{Value, json};
use sqlx::Connection;

/// `visits` moves with each action, `rooms` only with each new room.
const ROOMS: &str = "
tasks:
  - id: rooms
    kind: ordinary
    objective: { on: room.seen, measure: { distinct: data.room }, target: 10000 }
  - id: visits
    kind: ordinary
    objective: { on: room.seen, target: 100000 }
";

const NOON: &str = "2026-03-29T12:00:00Z";

/// The number of actions per batch.
const AT_ONCE: usize = 500;

/// The number of actions counted one by one at each size.
const MEASURED: usize = 10;

fn seen(id: &str, room: usize, time: &str) -> Action {
    action("u", id, "room.seen", time, &json!({ "room": room }))
}

/// Sends an action for each room. `visit` is part of the action ids, so that the same rooms can be
/// seen again.
async fn see(store: &Store, executor: &Executor, visit: &str, rooms: Range<usize>, time: &str) {
    let rooms: Vec<usize> = rooms.collect();
    for some in rooms.chunks(AT_ONCE) {
        let sent = some.iter().map(|room| seen(&format!("{visit}-{room}"), *room, time));
        let items = sent.map(|action| store.item(action, request())).collect();
        let applied = executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
        assert!(
            applied.iter().all(|applied| applied.answer == ActionAnswer::Accepted),
            "{applied:?}"
        );
    }
}

async fn progress(store: &Store, task: &str) -> i64 {
    store.count(&format!("select progress from task_view where task_id = '{task}'")).await
}

/// The number of values stored outside of the row of a task.
async fn outside(store: &Store, task: &str) -> i64 {
    let sum = "select coalesce(sum(octet_length(hashes)), 0) / 12 from distinct_values";
    store.count(&format!("{sum} where task_id = '{task}'")).await
}

async fn details(store: &Store, task: &str) -> Value {
    let details = format!("select details from task_view where task_id = '{task}'");
    sqlx::query_scalar(&details).fetch_one(&store.pool).await.unwrap()
}

/// Puts the set of `rooms` into the row of the task, as versions before decision 0030 did.
const INLINE: &str = r"
    update task_view t set details = json_build_object('seen', json_build_object('values', v.hashes))
    from (select translate(encode(string_agg(hashes, ''::bytea order by chunk), 'base64'), E'+/=\n', '-_') as hashes
          from distinct_values where task_id = 'rooms') v
    where t.task_id = 'rooms'";

/// The WAL of a statement in bytes, without that of concurrent sessions. `first` runs before it, so
/// that the full page images are already in the WAL.
async fn wal_bytes(store: &Store, first: &str, statement: &str) -> i64 {
    let mut connection = store.pool.acquire().await.unwrap();
    let mut tx = connection.begin().await.unwrap();
    sqlx::query(first).execute(&mut *tx).await.unwrap();
    let explain = format!("explain (analyze, wal, format json) {statement}");
    let explained: Value = sqlx::query_scalar(&explain).fetch_one(&mut *tx).await.unwrap();
    tx.rollback().await.unwrap();
    explained[0]["Plan"]["WAL Bytes"].as_i64().unwrap()
}

#[tokio::test]
async fn an_action_that_adds_to_a_set_writes_a_few_kilobytes_whatever_its_size() {
    const CHUNK: &str =
        "update distinct_values set hashes = hashes || '\\x000000000000000000000000'
                         where task_id = 'rooms' and chunk = 77";
    const WHOLE: &str =
        "update task_view set details = (details::jsonb || '{\"surplus\": 1}')::json
                         where task_id = 'rooms'";
    let store = Store::with_tasks(ROOMS).await;
    let mut rooms = 0;
    for (values, before_min) in [(200, 0), (500, 8_000), (2_000, 32_000), (9_900, 160_000)] {
        see(&store, &store.executor, "a", rooms..values, NOON).await;
        let began = Instant::now();
        for room in values..values + MEASURED {
            store.act(seen(&format!("a-{room}"), room, NOON)).await;
        }
        rooms = values + MEASURED;
        let each = began.elapsed() / u32::try_from(MEASURED).unwrap();
        let row = wal_bytes(&store, WHOLE, WHOLE).await;
        let chunk = wal_bytes(&store, CHUNK, CHUNK).await;
        println!("{values} values: {row} + {chunk} bytes of WAL, {each:?} for an action");
        assert!(row + chunk < 8_000, "{values} values: {row} + {chunk} bytes");
        if before_min > 0 {
            let before = wal_bytes(&store, INLINE, WHOLE).await;
            println!("{values} values: {before} bytes with the set in the row");
            assert!(before > before_min, "{before} bytes");
        }
    }
    let counted = usize::try_from(progress(&store, "rooms").await).unwrap();
    assert_eq!(counted, rooms, "each of them counted once");
    assert_eq!(outside(&store, "rooms").await, progress(&store, "rooms").await);
}

#[tokio::test]
async fn rule_08_each_value_counts_once_however_large_the_set_and_whichever_process_decides() {
    let store = Store::with_tasks(ROOMS).await;
    let other = store.another_executor();
    for (visit, upto) in [200, 256, 257, 258, 700, 701].into_iter().enumerate() {
        for (name, executor) in [("own", &*store.executor), ("other", &other)] {
            see(&store, executor, &format!("{name}-{visit}"), 0..upto, NOON).await;
            let upto = i64::try_from(upto).unwrap();
            assert_eq!(progress(&store, "rooms").await, upto);
            let is_large = upto > 256;
            assert_eq!(outside(&store, "rooms").await, if is_large { upto } else { 0 });
            let in_row = details(&store, "rooms").await["seen"]["values"].clone();
            assert_eq!(in_row.as_i64(), is_large.then_some(upto), "{in_row}");
        }
    }
}

#[tokio::test]
async fn a_set_that_an_earlier_version_left_in_the_row_is_read_and_moved_when_the_user_is_written()
{
    for repeats in [0, 1] {
        let store = Store::with_tasks(ROOMS).await;
        see(&store, &store.executor, "a", 0..600, NOON).await;
        sqlx::raw_sql(INLINE).execute(&store.pool).await.unwrap();
        // Rows left from before a downgrade are stale and must be ignored.
        let stale =
            "delete from distinct_values where chunk > 20; update distinct_values set hashes = ''";
        sqlx::raw_sql(stale).execute(&store.pool).await.unwrap();
        let executor = store.another_executor();
        // Only `visits` moves, but the user is cached with both tasks.
        see(&store, &executor, "b", 0..repeats, NOON).await;
        see(&store, &executor, "c", 599..601, NOON).await;
        assert_eq!(progress(&store, "rooms").await, 601);
        assert_eq!(outside(&store, "rooms").await, 601);
        assert_eq!(details(&store, "rooms").await, json!({ "seen": { "values": 601 } }));
    }
}

#[tokio::test]
async fn a_set_is_forgotten_once_its_period_is_completed_or_over() {
    let store = Store::with_tasks(
        "
tasks:
  - id: daily
    kind: periodic
    every: day
    objective: { on: room.seen, measure: { distinct: data.room }, target: 1000 }
  - id: once
    kind: ordinary
    objective: { on: room.seen, measure: { distinct: data.room }, target: 300 }
",
    )
    .await;
    see(&store, &store.executor, "a", 0..299, NOON).await;
    assert_eq!((outside(&store, "daily").await, outside(&store, "once").await), (299, 299));
    see(&store, &store.executor, "a", 299..320, NOON).await;
    assert_eq!((outside(&store, "daily").await, outside(&store, "once").await), (320, 0));
    see(&store, &store.another_executor(), "b", 0..3, "2026-03-30T12:00:00Z").await;
    assert_eq!((outside(&store, "daily").await, progress(&store, "daily").await), (0, 3));
    assert_eq!(progress(&store, "once").await, 300);
}

#[tokio::test]
async fn the_sets_of_all_open_periods_lie_outside_of_the_row() {
    let store = Store::with_tasks(
        "
tasks:
  - id: daily
    kind: periodic
    every: day
    objective: { on: room.seen, measure: { distinct: data.room }, target: 1000, lateness: P2D }
",
    )
    .await;
    for (day, rooms) in [(28, 0..300), (29, 100..420), (30, 0..5)] {
        let time = format!("2026-03-{day}T12:00:00Z");
        see(&store, &store.executor, &format!("a{day}"), rooms, &time).await;
    }
    // Late actions of the 29th: 20 values seen on that day, and 20 seen only on the 28th.
    see(&store, &store.another_executor(), "b", 80..120, NOON).await;
    let of_days = "select count(distinct period_key) from distinct_values";
    assert_eq!(store.count(of_days).await, 2);
    assert_eq!(outside(&store, "daily").await, 300 + 340);
    let details = details(&store, "daily").await;
    let earlier = |day: usize| &details["earlier"][day];
    assert_eq!(
        (&earlier(0)["seen"]["values"], &earlier(0)["progress"]),
        (&json!(300), &json!(300))
    );
    assert_eq!(
        (&earlier(1)["seen"]["values"], &earlier(1)["progress"]),
        (&json!(340), &json!(340))
    );
}

#[tokio::test]
async fn a_user_with_a_chunk_or_row_that_cannot_be_read_is_folded_from_the_log() {
    for damage in [
        "update distinct_values set hashes = '\\x01'",
        "update task_view set details = '{\"x\": 1}' where task_id = 'rooms'",
        "delete from user_view; delete from distinct_values where chunk < 90",
    ] {
        let store = Store::with_tasks(ROOMS).await;
        see(&store, &store.executor, "a", 0..600, NOON).await;
        sqlx::raw_sql(damage).execute(&store.pool).await.unwrap();
        see(&store, &store.another_executor(), "b", 590..610, NOON).await;
        assert_eq!(progress(&store, "rooms").await, 610, "{damage}");
        assert_eq!(outside(&store, "rooms").await, 610, "{damage}");
        let chunks = "select count(*) from distinct_values where chunk between 0 and 127";
        assert!(store.count(chunks).await > 100, "{damage}");
    }
}
