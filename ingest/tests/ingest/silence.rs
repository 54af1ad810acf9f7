//! A broker or a database connection that falls silent after the start.

use std::process::Command;
use std::time::{Duration, Instant};

use plaudit_embedded::{Kafka, KafkaOptions, ScratchDir, test_cluster};
use plaudit_ingest::IngestOptions;
use sqlx::Connection as _;

use crate::world::{Reader, World, eventually};

/// Time limit for a process to stop reporting itself ready when it can't work. Includes a margin
/// for a busy machine.
const NAMED_WITHIN: Duration = Duration::from_secs(15);

fn signal(kafka: &Kafka, name: &str) {
    let pid = kafka.pid().unwrap().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

async fn is_refused_soon(reader: &Reader, since: Instant) {
    reader.until_refused(&["no Kafka broker answers at 127.0.0.1"]).await;
    assert!(since.elapsed() < NAMED_WITHIN, "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_broker_that_is_frozen_or_killed_later_makes_reading_unready_until_it_is_back() {
    let dir = ScratchDir::create("silence").unwrap();
    let mut kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::scratch()).await.unwrap();
    let world = World::with_topic(test_cluster::unique_name("silence")).await;
    kafka.create_topic(&world.topic, 1).await.unwrap();
    let reader = world.read_with(IngestOptions { brokers: kafka.brokers(), ..world.options() });
    reader.until_ready().await;

    signal(&kafka, "-STOP");
    is_refused_soon(&reader, Instant::now()).await;
    signal(&kafka, "-CONT");
    reader.until_ready().await;

    kafka.kill().await.unwrap();
    is_refused_soon(&reader, Instant::now()).await;
    kafka.restart().await.unwrap();
    reader.until_ready().await;
    reader.stop().await;
    kafka.stop().await;
}

/// The connection falls silent while the monitor waits for a statement, so the answer never comes.
#[tokio::test]
async fn a_connection_that_falls_silent_does_not_blind_the_monitor() {
    let world = World::new(1).await;
    let (proxy, pool) = world.through_proxy().await;
    let reader = world.read_over(world.options(), &pool);
    reader.until_ready().await;
    let mut locking = world.looking.acquire().await.unwrap();
    let mut locked = locking.begin().await.unwrap();
    sqlx::query("lock table source_topics in access exclusive mode")
        .execute(&mut *locked)
        .await
        .unwrap();
    eventually("the monitor waits for the table", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks where not granted and relation = 'source_topics'::regclass",
        )
        .fetch_one(&mut *locked)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    proxy.freeze();
    locked.rollback().await.unwrap();
    test_cluster::delete_topic(&world.topic).await;
    reader.until_refused(&[&world.topic, "does not exist"]).await;
    reader.stop().await;
}
