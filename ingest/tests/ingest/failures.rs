//! Failures of the broker, the database and the program while records are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use plaudit_embedded::test_cluster;
use plaudit_event_store::{BatchProjection, Changes};
use plaudit_ingest::{Ingest, IngestError, IngestOptions};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::world::World;

#[tokio::test]
async fn a_broker_that_does_not_answer_is_named_with_its_address() {
    let world = World::new(1).await;
    // Nobody listens on the discard port.
    let options = IngestOptions { brokers: "127.0.0.1:9".into(), ..world.options() };
    let reader = world.read_with(options.clone());
    reader.until_refused(&["127.0.0.1:9"]).await;
    let error = plaudit_ingest::status::status(&options, &world.pool).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
    reader.stop().await;
}

#[tokio::test]
async fn rule_05_a_database_that_drops_its_connections_loses_and_doubles_nothing() {
    let world = World::new(2).await;
    let options = IngestOptions { batch_max: 7, ..world.options() };
    let reader = world.read_with(options);
    for round in 0..20 {
        let ids = round * 10..(round + 1) * 10;
        world.gifts(0, ids.clone().map(|id| ("ann", id))).await;
        world.gifts(1, ids.map(|id| ("ben", id))).await;
        let drop = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'plaudit'";
        sqlx::query(drop).execute(&world.looking).await.unwrap();
    }
    world.until_coins(&[("ann", 200), ("ben", 200)]).await;
    reader.stop().await;
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn a_refused_configuration_names_the_property() {
    let world = World::new(1).await;
    let mut options = world.options();
    options.properties.insert("no.such.property".into(), "1".into());
    let error = plaudit_ingest::status::status(&options, &world.pool).await.unwrap_err();
    assert!(error.to_string().contains("no.such.property"), "{error}");
}

/// A projection that panics once, in the middle of a batch.
struct Fragile(AtomicBool);

#[async_trait]
impl BatchProjection for Fragile {
    async fn apply(&self, _: &Changes, _: &mut PgConnection) -> sqlx::Result<()> {
        assert!(self.0.swap(true, Ordering::Relaxed), "a fault of the program");
        Ok(())
    }
}

#[tokio::test]
async fn rule_21_a_batch_that_panics_is_tried_again_and_nothing_is_lost() {
    let topic = test_cluster::create_topic("actions", 2).await;
    let fragile = Arc::new(Fragile(AtomicBool::new(false)));
    let world =
        World::projecting(topic, vec![Arc::clone(&fragile) as Arc<dyn BatchProjection>]).await;
    let reader = world.read();
    world.gifts(0, (0..20).map(|id| ("ann", id))).await;
    world.gifts(1, (0..20).map(|id| ("ben", id))).await;
    world.until_coins(&[("ann", 20), ("ben", 20)]).await;
    assert!(fragile.0.load(Ordering::Relaxed), "it panicked");
    reader.until_ready().await;
    reader.stop().await;
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn a_property_that_acknowledging_depends_on_is_refused() {
    let world = World::new(1).await;
    let mut options = world.options();
    options.properties.insert("auto.offset.reset".into(), "latest".into());
    let error = plaudit_ingest::status::status(&options, &world.pool).await.unwrap_err();
    assert!(error.to_string().contains("auto.offset.reset"), "{error}");
    let (queue, sources) = (world.queue.clone(), world.sources.subscribe());
    let started = Ingest::start(options, queue, &world.pool, sources, CancellationToken::new());
    assert!(matches!(started, Err(IngestError::Property(_))), "{started:?}");
}
