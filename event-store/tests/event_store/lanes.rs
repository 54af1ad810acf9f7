//! A session that holds a lane, or an old snapshot, delays nobody else.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::support::{Store, TASKS, action, eventually, request};
use plaudit_domain::lane::Lane;
use plaudit_event_store::lanes::{self, Contention};
use plaudit_event_store::{
    ActionAnswer, Batch, CommandQueue, ExecuteError, Item, Origin, SourcePosition,
};
use serde_json::json;
use sqlx::Connection as _;

const NOON: &str = "2026-03-29T12:00:00Z";

fn sign_in(user: &str, id: &str) -> plaudit_domain::action::Action {
    action(user, id, "user.signed_in", NOON, &json!({}))
}

/// A stock writer that leaves its transaction open after an append for this user.
async fn stock_writer_left_open(
    store: &Store,
    user: &str,
) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut tx = store.pool.begin().await.unwrap();
    sqlx::query(
        "insert into cqrs_events values ('UserTasks', $1, 1, 'user_updated', '1.0',
             '{\"type\":\"user_updated\",\"at\":\"2026-03-29T09:12:00Z\",\"zone\":\"Europe/Paris\"}', '{}')",
    )
    .bind(user)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx
}

/// Rule 23: an open transaction delays the users of its lane, for as long as it is open.
#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_lane_that_is_held_delays_its_own_users_only() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(store.executor.clone(), 2);
    let held = stock_writer_left_open(&store, "ann").await;
    let lane = Lane::of("ann", store.lane_count);

    let item = |user: &str, id: &str| store.item(sign_in(user, id), request());
    let waiting = queue.submit(vec![item("ann", "1")]);
    let others: Vec<String> = (0..200)
        .map(|n| format!("user-{n}"))
        .filter(|user| Lane::of(user, store.lane_count) != lane)
        .collect();
    for user in &others {
        let began = Instant::now();
        let applied = queue.submit(vec![item(user, "1")]).await.unwrap();
        assert_eq!(applied[0].answer, ActionAnswer::Accepted, "{user}");
        assert!(began.elapsed() < Duration::from_secs(2), "{user}: {:?}", began.elapsed());
    }

    let named = async {
        loop {
            let busy = queue.busy_lanes();
            if let Some(busy) = busy.first() {
                return busy.lane;
            }
            tokio::task::yield_now().await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), named).await.unwrap(), lane);

    // The lane recovers by itself.
    held.commit().await.unwrap();
    let applied = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert_eq!(applied[0].answer, ActionAnswer::Accepted);
    assert!(queue.busy_lanes().is_empty());
    assert_eq!(store.count("select count(*) from external_appends").await, 0, "ann was caught up");
}

/// Rule 23: operators see a held lane even if nobody waits for it at the moment.
#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_held_lane_stays_named_after_its_requests_were_given_up() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(store.executor.clone(), 2);
    let held = stock_writer_left_open(&store, "ann").await;
    let asked = queue.submit(vec![store.item(sign_in("ann", "1"), request())]);
    let given_up = tokio::time::timeout(Duration::from_millis(300), asked).await;
    assert!(given_up.is_err(), "the lane is held");
    let held_for = eventually("the lane is named for longer than it was asked for", async || {
        let busy = queue.busy_lanes();
        busy.first().map(|busy| busy.since).filter(|since| *since > Duration::from_secs(4))
    })
    .await;
    assert!(held_for < Duration::from_secs(60));
    held.rollback().await.unwrap();
    eventually("nobody holds it", async || queue.busy_lanes().is_empty().then_some(())).await;
}

/// A lock that blocks every writer is reported long before an attempt fails.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_stand_still_are_named() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(store.executor.clone(), 2);
    let mut other = sqlx::PgConnection::connect_with(&store.pool.connect_options()).await.unwrap();
    let mut other = other.begin().await.unwrap();
    // The owner lacks the privilege that locking needs.
    let lock = "grant delete on events to current_user; lock table events in exclusive mode";
    sqlx::raw_sql(lock).execute(&mut *other).await.unwrap();
    let at = SourcePosition { topic: "t".into(), incarnation: 0, partition: 0, offset: 0 };
    let began = Instant::now();
    let waiting = queue.submit(vec![store.item(sign_in("ann", "1"), Origin::Record(at))]);
    assert_eq!(queue.stalled(), None);
    let why = eventually("the stall is named", async || queue.stalled()).await;
    assert!(began.elapsed() >= Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(why.contains("nothing was written meanwhile"), "{why}");
    other.rollback().await.unwrap();
    let applied = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(applied[0].answer, ActionAnswer::Accepted);
    assert_eq!(queue.stalled(), None);
}

/// A batch that needs a held lane fails soon, and its error names this lane and no other.
#[tokio::test]
async fn a_held_lane_is_named_to_who_needs_it() {
    let store = Store::with_tasks(TASKS).await;
    let _held = stock_writer_left_open(&store, "ann").await;
    let lane = Lane::of("ann", store.lane_count);
    let users = (0..20).map(|n| format!("user-{n}")).chain(["ann".to_owned()]);
    let items = users.map(|user| store.item(sign_in(&user, "1"), request()).mixed()).collect();
    let batch = Batch { items, checkpoints: vec![] };
    let expected = Contention::Held([lane].into());
    let error = store.executor.execute(&batch).await.unwrap_err();
    assert!(matches!(&error, ExecuteError::LanesBusy(found) if *found == expected), "{error:?}");
    assert_eq!(error.to_string(), format!("lane {lane} is held by another writer"));
    let (applied, ended) = store.executor.execute_if_free(&batch).await;
    assert!(applied.is_empty());
    assert!(
        matches!(&ended, Err(ExecuteError::LanesBusy(found)) if *found == expected),
        "{ended:?}"
    );
}

/// While another session locks all lanes, as the swap of a rebuild does, everybody waits, but no
/// lane is named as held by a writer.
#[tokio::test(flavor = "multi_thread")]
async fn the_lanes_that_a_swap_locks_do_not_count_as_held() {
    let store = Store::with_tasks(TASKS).await;
    let queue = CommandQueue::start(store.executor.clone(), 2);
    let count = i16::try_from(store.lane_count.get()).unwrap();
    let lanes: BTreeSet<Lane> = (0..count).map(Lane).collect();
    let mut swap = store.pool.begin().await.unwrap();
    lanes::lock_all(&lanes, &mut swap).await.unwrap();
    let items: Vec<_> =
        (0..20).map(|n| store.item(sign_in(&format!("user-{n}"), "1"), request())).collect();
    let mixed = items.iter().cloned().map(Item::mixed).collect();
    let batch = Batch { items: mixed, checkpoints: vec![] };
    for ended in [
        store.executor.execute(&batch).await.map(drop),
        store.executor.execute_if_free(&batch).await.1,
    ] {
        let Err(ExecuteError::LanesBusy(found)) = &ended else { panic!("{ended:?}") };
        assert_eq!(*found, Contention::GateClosed);
        let text = ended.unwrap_err().to_string();
        assert_eq!(text, "all lanes are being locked, as by the swap of a rebuild");
    }
    let waiting = queue.submit(items);
    // Longer than a held lane stays unnamed.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_eq!(queue.busy_lanes().len(), 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    swap.rollback().await.unwrap();
    let applied = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert!(applied.iter().all(|applied| applied.answer == ActionAnswer::Accepted), "{applied:?}");
}

/// Rule 23: batches must not walk the rows that an idle snapshot keeps alive. Compares pages read
/// with those of the same load without a snapshot. Pages, unlike times, are the same on any
/// machine.
#[tokio::test]
async fn rule_23_an_old_snapshot_makes_no_batch_read_more_pages() {
    let (with, without) = pages_with_and_without_a_snapshot(Users::New).await;
    assert!(with * 4 <= without * 5, "{without} pages a batch became {with} with a snapshot open");
}

/// For the rows of one user it is different: the snapshot keeps every version of them, and the next
/// write of that user walks them to the last one. After as many writes as a busy user makes in a
/// quarter of an hour, that user's batches read less than twice the pages.
#[tokio::test]
async fn rule_23_an_old_snapshot_makes_rewriting_rows_less_than_twice_as_dear() {
    let (with, without) = pages_with_and_without_a_snapshot(Users::Same).await;
    assert!(with <= without * 2, "{without} pages a batch became {with} with a snapshot open");
}

/// `sign-in` writes the row of a new user, `openings` the same row each time.
const COUNTED: &str = "
tasks:
  - id: sign-in
    kind: continuous
    every: day
    objective: { on: user.signed_in, target: 1 }
    milestones: [ { at: 3, rewards: [ { line: d3, kind: currency, code: coin, amount: 5 } ] } ]
  - id: openings
    kind: ordinary
    objective: { on: gift.opened, target: 100000 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 100 } ]
";

/// The users of each batch.
#[derive(Clone, Copy)]
enum Users {
    /// Other users than in the batches before.
    New,
    /// The same eight users.
    Same,
}

async fn pages_with_and_without_a_snapshot(users: Users) -> (i64, i64) {
    let (held, free) = (Store::with_tasks(COUNTED).await, Store::with_tasks(COUNTED).await);
    let mut snapshot =
        sqlx::PgConnection::connect_with(&held.pool.connect_options()).await.unwrap();
    let mut snapshot = snapshot.begin().await.unwrap();
    sqlx::raw_sql("set transaction isolation level repeatable read; set idle_in_transaction_session_timeout = 0; select 1")
        .execute(&mut *snapshot)
        .await
        .unwrap();
    let pages = (pages_of_batches(held, users).await, pages_of_batches(free, users).await);
    snapshot.rollback().await.unwrap();
    pages
}

/// The mean number of pages read per batch, over 800 batches of one lane with eight users and
/// partitions each. A walk that gets longer with each batch shows in the mean. The store's
/// connections are closed before the counters are read: a connection reports its counts at its end
/// or some time later.
async fn pages_of_batches(store: Store, users: Users) -> i64 {
    const BATCHES: i64 = 800;
    for number in 0..BATCHES {
        batch_of_one_lane(&store, users, number).await;
    }
    if matches!(users, Users::Same) {
        // Every batch wrote the same rows.
        let rows = "select count(*) from task_view where task_id = 'openings' and progress = 800";
        assert_eq!(store.count(rows).await, 8);
    }
    let options = store.pool.connect_options();
    store.pool.close().await;
    let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let pages: i64 = sqlx::query_scalar(
        "select sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))::bigint
         from pg_statio_user_tables",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    pages / BATCHES
}

async fn batch_of_one_lane(store: &Store, users: Users, number: i64) {
    let item = |partition: i32| {
        let at = SourcePosition { topic: "t".into(), incarnation: 0, partition, offset: number };
        let action = match users {
            Users::New => sign_in(&format!("user-{number}-{partition}"), "1"),
            Users::Same => {
                let (user, id) = (format!("user-{partition}"), number.to_string());
                action(&user, &id, "gift.opened", NOON, &json!({}))
            }
        };
        Item { lane: Lane(1), ..store.item(action, Origin::Record(at)) }
    };
    store.execute((0..8).map(item).collect()).await;
}

/// A single action with too many events for a transaction is not split, but its batch is.
#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_batch_is_bounded_by_the_events_it_makes() {
    let tasks: String = (0..300).fold("tasks:\n".to_owned(), |mut all, n| {
        use std::fmt::Write as _;
        let _ = writeln!(
            all,
            "  - {{ id: t{n}, kind: ordinary, objective: {{ on: user.signed_in, target: 9 }} }}"
        );
        all
    });
    let store = Store::with_tasks(&tasks).await;
    let items = (0..100).map(|n| store.item(sign_in(&format!("u{n}"), "1"), request())).collect();
    let applied = store.execute(items).await;
    assert!(applied.iter().all(|applied| applied.answer == ActionAnswer::Accepted));
    assert_eq!(store.count("select count(*) from events").await, 30_000);
    let transactions = "select count(distinct xmin::text) from events";
    assert!(store.count(transactions).await >= 3, "several transactions");
}
