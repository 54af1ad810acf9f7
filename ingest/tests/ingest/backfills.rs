//! A new task counts records that were read before it was published, each action once.

use std::sync::Arc;

use plaudit_domain::ids::TaskId;
use plaudit_embedded::test_cluster;
use plaudit_event_store::backfills::changes::{BackfillChange, change};
use plaudit_event_store::backfills::{self, BackfillState, BackfillStatus};
use plaudit_event_store::catalogue_store::{self, Author};
use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::sources;
use plaudit_ingest::backfill::BackfillWorker;
use plaudit_ingest::backfill::plan::past_records;
use plaudit_ingest::{CALL_MAX, IngestOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{Sent, World, eventually, gift, gift_at};

pub const COUNTED: &str = "
tasks:
  - id: counted
    kind: ordinary
    objective: { on: gift.sent, target: 1000000 }
    backfill: { from: 2025-03-01T00:00:00Z }
";

fn task() -> TaskId {
    "counted".parse().unwrap()
}

pub async fn publish(world: &World, file: &str) {
    let tasks = plaudit_task_file::parse(file).unwrap();
    catalogue_store::publish(&world.pool, &tasks, "test").await.unwrap();
}

/// Starts a backfill worker with a limit of records per second.
pub fn work(world: &World, records_per_second: u32) -> (JoinHandle<()>, CancellationToken) {
    let stopped = CancellationToken::new();
    let worker = BackfillWorker {
        options: Arc::new(world.options()),
        records_per_second,
        queue: world.queue.clone(),
        database: Deadlined::new(&world.pool, CALL_MAX),
        sources: world.sources.subscribe(),
        stopped: stopped.clone(),
    };
    (worker.start(), stopped)
}

pub async fn status(world: &World) -> BackfillStatus {
    backfills::find(&world.looking, &task()).await.unwrap().unwrap()
}

pub async fn until_done(world: &World) -> BackfillStatus {
    eventually("the backfill is done", async || {
        Some(status(world).await).filter(|status| status.state == BackfillState::Done)
    })
    .await
}

/// Returns each user's progress and number of events.
async fn counted(world: &World) -> Vec<(String, i64, i64)> {
    sqlx::query_as(
        "select aggregate_id, max((payload->>'progress')::bigint), count(*) from events
         where event_type = 'progress_recorded' and payload->>'task' = 'counted'
         group by 1 order by 1",
    )
    .fetch_all(&world.looking)
    .await
    .unwrap()
}

async fn until_counted(world: &World, expected: &[(&str, i64)]) {
    let expected: Vec<_> = expected.iter().map(|(u, n)| ((*u).to_owned(), *n, *n)).collect();
    eventually(&format!("{expected:?} is counted"), async || {
        (counted(world).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rule_05_past_and_live_actions_count_once_beside_each_other() {
    let world = World::new(2).await;
    let reading = world.read();
    world.gifts(0, (0..40).map(|id| ("a", id))).await;
    world.gifts(1, (0..30).map(|id| ("b", id))).await;
    world.until_coins(&[("a", 40), ("b", 30)]).await;
    publish(&world, COUNTED).await;
    let (worker, stopped) = work(&world, 1_000_000);
    // Live records, among them a repeat of a past one.
    world.gifts(0, (30..60).map(|id| ("a", id))).await;
    world.gifts(1, (0..5).map(|id| ("c", id))).await;
    // Earlier than the backfill's `from`, but counted because it arrives live.
    let early = gift_at("d", "early", 1, "2025-02-01T00:00:00Z").to_string().into_bytes();
    world.send(Sent { partition: 0, value: Some(early), ..Sent::default() }).await;
    let done = until_done(&world).await;
    until_counted(&world, &[("a", 60), ("b", 30), ("c", 5), ("d", 1)]).await;
    assert_eq!((done.failed, done.records), (0, Some(done.records_read)), "{done:?}");
    assert!(done.moved <= 70 && done.records >= Some(70), "{done:?}");
    stopped.cancel();
    worker.await.unwrap();
    reading.stop().await;
}

#[tokio::test]
async fn rule_05_a_killed_worker_is_followed_by_another_that_counts_nothing_twice() {
    let world = World::new(1).await;
    let reading = world.read();
    for round in 0..30_u32 {
        world.gifts(0, (0..100).map(|id| ("a", round * 100 + id))).await;
    }
    world.until_coins(&[("a", 3_000)]).await;
    publish(&world, COUNTED).await;
    for _ in 0..3 {
        let before = counted(&world).await;
        let (worker, _stopped) = work(&world, 2_000);
        eventually("it counts something", async || (counted(&world).await != before).then_some(()))
            .await;
        worker.abort();
        // The lease of a killed process expires.
        let expire = "update backfills set leased_until = now()";
        sqlx::query(expire).execute(&world.looking).await.unwrap();
    }
    let (worker, stopped) = work(&world, 1_000_000);
    until_done(&world).await;
    until_counted(&world, &[("a", 3_000)]).await;
    stopped.cancel();
    worker.await.unwrap();
    reading.stop().await;
}

#[tokio::test]
async fn what_kafka_has_removed_is_said_beforehand_and_afterwards() {
    let world = World::new(1).await;
    let reading = world.read();
    world.gifts(0, (0..10).map(|id| ("a", id))).await;
    world.until_coins(&[("a", 10)]).await;
    world.remove_records(0, 4).await;
    let from = "2025-03-01T00:00:00Z".parse().unwrap();
    let planned = past_records(&world.options(), from, &world.pool).await.unwrap();
    assert_eq!((planned[0].records, planned[0].kept_from.is_some()), (6, true), "{planned:?}");
    let now = past_records(&world.options(), jiff::Timestamp::now(), &world.pool).await.unwrap();
    assert!(now[0].kept_from.is_some(), "records of the last minutes are among them");
    publish(&world, COUNTED).await;
    let (worker, stopped) = work(&world, 1_000_000);
    let done = until_done(&world).await;
    assert!(done.partitions[0].kept_from.is_some(), "{done:?}");
    until_counted(&world, &[("a", 6)]).await;
    stopped.cancel();
    worker.await.unwrap();
    reading.stop().await;
}

#[tokio::test]
async fn what_is_gone_with_an_earlier_topic_or_one_no_longer_read_is_said() {
    let world = World::new(1).await;
    // Only its topic is used.
    let other = World::new(1).await;
    let both =
        IngestOptions { topics: vec![world.topic.clone(), other.topic.clone()], ..world.options() };
    let reading = world.read_with(both);
    world.gifts(0, (0..5).map(|id| ("a", id))).await;
    other.gifts(0, (0..3).map(|id| ("c", id))).await;
    world.until_coins(&[("a", 5), ("c", 3)]).await;
    reading.stop().await;
    test_cluster::delete_topic(&world.topic).await;
    world.create_topic(1).await;
    world.gifts(0, (0..2).map(|id| ("b", id))).await;
    sources::accept_new_topic(&world.pool, &world.topic).await.unwrap();
    let reading = world.read();
    world.until_coins(&[("a", 5), ("b", 2), ("c", 3)]).await;
    let from = "2025-03-01T00:00:00Z".parse().unwrap();
    let planned = past_records(&world.options(), from, &world.pool).await.unwrap();
    assert_eq!((planned[0].records, planned[0].kept_from.is_some()), (2, true), "{planned:?}");
    publish(&world, COUNTED).await;
    let (worker, stopped) = work(&world, 1_000_000);
    let done = until_done(&world).await;
    until_counted(&world, &[("b", 2)]).await;
    let partition = |topic: &str, end: i64| {
        let found = done.partitions.iter().find(|p| p.topic == topic && p.end_offset == end);
        let found = found.unwrap_or_else(|| panic!("{done:?}"));
        (found.lost, found.kept_from.is_some())
    };
    assert_eq!(partition(&world.topic, 5), (5, false));
    assert_eq!(partition(&world.topic, 2), (0, true));
    assert_eq!(partition(&other.topic, 3), (3, false));
    stopped.cancel();
    worker.await.unwrap();
    reading.stop().await;
}

/// The present topic has a record from before `from`, so all records of the earlier one are older.
#[tokio::test]
async fn nothing_is_lost_with_an_earlier_topic_that_ended_before_the_past_begins() {
    let world = World::new(1).await;
    let reading = world.read();
    world.gifts(0, (0..5).map(|id| ("a", id))).await;
    world.until_coins(&[("a", 5)]).await;
    reading.stop().await;
    test_cluster::delete_topic(&world.topic).await;
    world.create_topic(1).await;
    let hours_ago = |hours| jiff::Timestamp::now() - jiff::SignedDuration::from_hours(hours);
    let (value, timestamp) = (Some(gift("b", "old", 1)), Some(hours_ago(24).as_millisecond()));
    world.send(Sent { partition: 0, value, timestamp, ..Sent::default() }).await;
    world.gifts(0, [("b", 1)]).await;
    sources::accept_new_topic(&world.pool, &world.topic).await.unwrap();
    let reading = world.read();
    world.until_coins(&[("a", 5), ("b", 2)]).await;
    let from = jiff::Timestamp::from_second(hours_ago(1).as_second()).unwrap().to_string();
    publish(&world, &COUNTED.replace("2025-03-01T00:00:00Z", &from)).await;
    let (worker, stopped) = work(&world, 1_000_000);
    let done = until_done(&world).await;
    let planned: Vec<_> =
        done.partitions.iter().map(|p| (p.end_offset, p.lost, p.kept_from)).collect();
    assert_eq!(planned, [(2, 0, None)], "{done:?}");
    stopped.cancel();
    worker.await.unwrap();
    reading.stop().await;
}

#[tokio::test]
async fn a_backfill_pauses_goes_on_and_releases_what_it_holds() {
    let world = World::new(1).await;
    let reading = world.read();
    world.gifts(0, (0..9).map(|id| ("a", id))).await;
    let value = Some(gift("b", "only", 1));
    world.send(Sent { partition: 0, value, ..Sent::default() }).await;
    world.until_coins(&[("a", 9), ("b", 1)]).await;
    let hold = "
tasks:
  - id: counted
    kind: ordinary
    objective: { on: gift.sent, target: 5 }
    rewards: [ { line: coins, kind: currency, code: coin, amount: 10 } ]
    backfill: { from: 2025-03-01T00:00:00Z, rewards: hold }
";
    publish(&world, hold).await;
    let ops = Author { by: "ops".to_owned(), reason: Some("looked at".to_owned()) };
    let wants = async |requested| change(&world.pool, &task(), requested, &ops).await;
    wants(BackfillChange::Pause).await.unwrap();
    let (worker, stopped) = work(&world, 1_000_000);
    assert!(wants(BackfillChange::Release).await.is_err(), "it may still hold something back");
    assert_eq!(status(&world).await.records, None, "no worker has begun");
    wants(BackfillChange::Resume).await.unwrap();
    until_done(&world).await;
    until_counted(&world, &[("a", 5), ("b", 1)]).await;
    let granted = async || -> Vec<String> {
        let sql = "select user_id from reward_state order by 1";
        sqlx::query_scalar(sql).fetch_all(&world.looking).await.unwrap()
    };
    assert_eq!(granted().await, Vec::<String>::new());
    wants(BackfillChange::Release).await.unwrap();
    let released = eventually("all is released", async || {
        Some(status(&world).await).filter(|status| status.released_at.is_some())
    })
    .await;
    assert_eq!((released.released_users, granted().await), (1, vec!["a".to_owned()]));
    stopped.cancel();
    worker.await.unwrap();
    reading.stop().await;
}
