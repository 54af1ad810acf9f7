//! A database that is slower than Kafka, and large records.

use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use plaudit_ingest::IngestOptions;
use serde_json::json;

use crate::world::{Sent, World, eventually, gift_at, metrics};

fn paused_ms() -> u64 {
    let metrics = metrics();
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("plaudit_ingest_paused_ms_total "));
    line.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn reading_pauses_while_the_database_is_slow_and_then_applies_all() {
    let world = World::new(2).await;
    let reader = world.read_with(IngestOptions { batch_max: 5, ..world.options() });
    world.gifts(0, [("ann", 0)]).await;
    world.until_coins(&[("ann", 1)]).await;
    assert!(!reader.is_paused());
    let before = paused_ms();

    // This connection has no time limit for being idle.
    let mut holding = world.looking.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(1347174741, lane) from lane_numbers")
        .execute(&mut *holding)
        .await
        .unwrap();
    world.gifts(0, (1..300).map(|id| ("ann", id))).await;
    world.gifts(1, (0..300).map(|id| ("ben", id))).await;
    eventually("reading is paused", async || reader.is_paused().then_some(())).await;
    assert_eq!(world.coins().await.len(), 1, "nothing is applied while the lanes are held");
    holding.rollback().await.unwrap();

    world.until_coins(&[("ann", 300), ("ben", 300)]).await;
    eventually("reading goes on", async || (!reader.is_paused()).then_some(())).await;
    assert!(paused_ms() > before);
    reader.until_ready().await;
    reader.stop().await;
}

/// Takes the lock of a user's lane and sends a backlog for that user: 1.1 MB of legal records, which
/// take 140 MB once they are parsed.
async fn backlog_of_a_held_lane(
    world: &World,
) -> (sqlx::Transaction<'static, sqlx::Postgres>, Lane) {
    let mut holding = world.looking.begin().await.unwrap();
    let lane = Lane::of("ann", world.queue.lane_count());
    sqlx::query("select pg_advisory_xact_lock(1347174741, $1)")
        .bind(i32::from(lane.0))
        .execute(&mut *holding)
        .await
        .unwrap();
    let objects = vec![json!({"": 0}); 8_000];
    for id in 0..20 {
        let mut large = gift_at("ann", &format!("{id}"), 1, "2025-03-29T01:30:00Z");
        large["data"]["list"] = objects.clone().into();
        let value = Some(large.to_string().into_bytes());
        world.send(Sent { value, ..Sent::default() }).await;
    }
    (holding, lane)
}

#[tokio::test]
async fn a_held_lane_with_a_large_backlog_stops_its_own_partition_only() {
    let world = World::with_topic(plaudit_embedded::test_cluster::unique_name("crowded")).await;
    world.create_topic(2).await;
    let lane_of = |user: &str| Lane::of(user, world.queue.lane_count());
    let mut others = (0..).map(|n| format!("ben-{n}"));
    let ben = others.find(|user| lane_of(user) != lane_of("ann")).unwrap();
    let ben = ben.as_str();
    let reader = world.read();
    reader.until_ready().await;
    let (holding, lane) = backlog_of_a_held_lane(&world).await;
    let warned = format!("for lane {lane} fill their share");
    eventually("the lane is named", async || {
        reader.warnings().iter().any(|warning| warning.contains(&warned)).then_some(())
    })
    .await;
    // Longer than the time after which a standstill is reported.
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < Duration::from_secs(12) {
        world.gifts(1, (sent..sent + 10).map(|id| (ben, id))).await;
        sent += 10;
        world.until_coins(&[(ben, i64::from(sent))]).await;
        assert_eq!(reader.ready(), Ok(()));
    }
    holding.rollback().await.unwrap();
    world.until_coins(&[("ann", 20), (ben, i64::from(sent))]).await;
    eventually("nothing is wrong", async || reader.warnings().is_empty().then_some(())).await;
    reader.stop().await;
}

#[tokio::test]
async fn reading_that_stands_still_for_a_held_lane_is_named_and_goes_on_by_itself() {
    let world = World::with_topic(plaudit_embedded::test_cluster::unique_name("full")).await;
    world.create_topic(1).await;
    let reader = world.read();
    reader.until_ready().await;
    let (holding, lane) = backlog_of_a_held_lane(&world).await;
    reader.until_refused(&["reading stands still", &format!("lane {lane}")]).await;
    holding.rollback().await.unwrap();
    world.until_coins(&[("ann", 20)]).await;
    reader.until_ready().await;
    reader.stop().await;
}

#[tokio::test]
async fn rule_21_a_record_of_two_megabytes_is_applied_or_parked_whole_and_the_others_go_on() {
    let world = World::with_topic(plaudit_embedded::test_cluster::unique_name("large")).await;
    world.create_topic(1).await;
    let large = "x".repeat(2_000_000);
    // Fields that the action does not need are dropped, so their size does not count.
    let mut applied = gift_at("ann", "large", 1, "2025-03-29T01:30:00Z");
    applied["note"] = large.clone().into();
    let mut parked_whole = gift_at("ann", "too-large", 1, "2025-03-29T01:30:00Z");
    parked_whole["data"]["text"] = large.into();
    let parked_whole = parked_whole.to_string().into_bytes();
    world.gifts(0, [("ann", 1)]).await;
    for value in [applied.to_string().into_bytes(), parked_whole.clone()] {
        world.send(Sent { value: Some(value), ..Sent::default() }).await;
    }
    world.gifts(0, [("ann", 2)]).await;
    let reader = world.read();
    world.until_coins(&[("ann", 3)]).await;
    let parked = world.until_parked(1).await;
    reader.stop().await;
    assert_eq!((parked.len(), parked[0].offset), (1, Some(2)));
    assert!(parked[0].bytes == parked_whole, "all {} bytes are kept", parked_whole.len());
    assert!(parked[0].reason.contains("more than 65536 bytes"), "{}", parked[0].reason);
}
