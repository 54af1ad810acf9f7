//! Records that have to wait for their schema.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plaudit_actions::formats::{DecodeError, Decoder, Format, Unavailable};
use plaudit_actions::sources::{SourceFile, Sources};
use serde_json::{Value, json};

use crate::backfills::{COUNTED, publish, status, until_done, work};
use crate::world::{Sent, World, eventually};

/// Stands in for a schema registry. A value is a schema byte followed by JSON. Schema 1 is not
/// cached, so it needs the registry.
#[derive(Debug)]
struct Registry {
    is_down: AtomicBool,
}

impl Decoder for Registry {
    fn decode(&self, _: Format, value: &[u8]) -> Result<Value, DecodeError> {
        if value[0] == 1 && self.is_down.load(Ordering::SeqCst) {
            let why = "the schema registry at http://registry:8081 can't be asked";
            return Err(Unavailable(why.to_owned()).into());
        }
        Ok(serde_json::from_slice(&value[1..]).unwrap())
    }
}

/// Maps the topic as Avro, with a registry that is down.
fn avro(world: &World) -> Arc<Registry> {
    let registry = Arc::new(Registry { is_down: AtomicBool::new(true) });
    let text = json!({"sources": [{
        "topic": world.topic, "format": "avro",
        "action": {"id": "value.id", "source": "'/gifts'", "type": "'gift.sent'", "user": "value.user",
            "time": "'2025-03-29T01:30:00Z'", "data": "{'coins': 1, 'record': value}"},
    }]});
    let file = SourceFile { path: "gifts.json".into(), text: text.to_string() };
    let sources = Sources::compile(&[file]).unwrap();
    let decoder: Arc<dyn Decoder> = Arc::clone(&registry) as _;
    world.sources.send_replace(Arc::new(sources.with_decoder(Some(decoder))));
    registry
}

async fn send(world: &World, partition: i32, schema: u8, user: &str, id: u32) {
    let json = json!({"user": user, "id": id}).to_string();
    let value = Some([&[schema], json.as_bytes()].concat());
    world.send(Sent { partition, value, ..Sent::default() }).await;
}

#[tokio::test]
async fn rule_21_a_partition_waits_for_a_schema_and_loses_nothing() {
    let world = World::new(2).await;
    let registry = avro(&world);
    for (id, schema) in [0, 0, 1, 0, 0].into_iter().enumerate() {
        send(&world, 0, schema, "ann", u32::try_from(id).unwrap()).await;
    }
    for id in 0..3 {
        send(&world, 1, 0, "ben", id).await;
    }
    let reader = world.read();
    reader.until_refused(&["records of", "wait", "http://registry:8081"]).await;
    // Records before the one that waits are applied, and so is the other partition.
    world.until_coins(&[("ann", 2), ("ben", 3)]).await;
    send(&world, 1, 0, "ben", 3).await;
    send(&world, 0, 0, "ann", 5).await;
    world.until_coins(&[("ann", 2), ("ben", 4)]).await;
    assert!(world.parked().await.is_empty());

    registry.is_down.store(false, Ordering::SeqCst);
    world.until_coins(&[("ann", 6), ("ben", 4)]).await;
    reader.until_ready().await;
    assert!(world.parked().await.is_empty());
    eventually("nothing is left", async || (reader.lag() == Some(0)).then_some(())).await;
    reader.stop().await;
}

#[tokio::test]
async fn rule_21_what_waits_for_a_schema_is_read_by_whoever_comes_next() {
    let world = World::new(1).await;
    let registry = avro(&world);
    for (id, schema) in [0, 1, 0].into_iter().enumerate() {
        send(&world, 0, schema, "ann", u32::try_from(id).unwrap()).await;
    }
    let reader = world.read();
    reader.until_refused(&["http://registry:8081"]).await;
    world.until_coins(&[("ann", 1)]).await;
    reader.stop().await;
    registry.is_down.store(false, Ordering::SeqCst);
    let reader = world.read();
    world.until_coins(&[("ann", 3)]).await;
    reader.until_ready().await;
    reader.stop().await;
}

/// The actions of the first record fill a portion of the chunk, and the next record waits.
#[tokio::test]
async fn a_backfill_that_waits_for_a_schema_keeps_its_counts_and_is_warned_of() {
    let world = World::new(1).await;
    let registry = avro(&world);
    registry.is_down.store(false, Ordering::SeqCst);
    let names: Vec<String> = (0..200).map(|n| format!("u{n}")).collect();
    let large = json!({"user": names, "id": 0, "text": "x".repeat(55_000)}).to_string();
    let value = Some([&[0_u8], large.as_bytes()].concat());
    world.send(Sent { value, ..Sent::default() }).await;
    send(&world, 0, 1, "ann", 1).await;
    let reader = world.read();
    let users = names.iter().map(String::as_str).chain(["ann"]);
    world.until_coins(&users.map(|user| (user, 1)).collect::<Vec<_>>()).await;
    reader.stop().await;

    registry.is_down.store(true, Ordering::SeqCst);
    publish(&world, COUNTED).await;
    let (worker, stopped) = work(&world, 1_000_000);
    let waiting = eventually("the backfill waits", async || {
        Some(status(&world).await).filter(|status| status.problem.is_some())
    })
    .await;
    assert_eq!(waiting.moved, 200, "{waiting:?}");
    // Further attempts are no progress.
    let long_ago = "update backfills set progressed_at = now() - interval '2 minutes'";
    sqlx::query(long_ago).execute(&world.looking).await.unwrap();
    let epoch = async || -> i64 {
        let sql = "select epoch from backfills";
        sqlx::query_scalar(sql).fetch_one(&world.looking).await.unwrap()
    };
    let before = epoch().await;
    eventually("it is tried again", async || (epoch().await > before + 1).then_some(())).await;
    let warnings = plaudit_event_store::backfills::warnings(&world.looking).await.unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("http://registry:8081"), "{warnings:?}");

    registry.is_down.store(false, Ordering::SeqCst);
    let done = until_done(&world).await;
    assert_eq!((done.moved, done.failed), (201, 0), "{done:?}");
    stopped.cancel();
    worker.await.unwrap();
}
