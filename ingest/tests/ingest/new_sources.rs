//! Source files that change while records are read.

use std::sync::Arc;

use plaudit_actions::sources::{SourceFile, Sources};
use plaudit_embedded::test_cluster;
use plaudit_ingest::{IngestOptions, last_records};
use serde_json::json;

use crate::world::{Sent, World, eventually};

/// Returns sources that give a record's user `coins` coins.
fn giving(topic: &str, coins: i64) -> Arc<Sources> {
    let text = json!({"sources": [{
        "topic": topic,
        "action": {"id": "string(offset)", "source": "'/gifts'", "type": "'gift.sent'",
            "user": "value.user", "time": "'2025-03-29T01:30:00Z'", "data": format!("{{'coins': {coins}}}")},
    }]});
    let file = SourceFile { path: "gifts.json".into(), text: text.to_string() };
    Arc::new(Sources::compile(&[file]).unwrap())
}

fn record(user: &str) -> Sent<'static> {
    Sent { value: Some(json!({ "user": user }).to_string().into_bytes()), ..Sent::default() }
}

async fn until_ann_has(world: &World, coins: i64) {
    eventually("ann's coins", async || {
        world.coins().await.get("ann").filter(|(has, _)| *has == coins).map(|_| ())
    })
    .await;
}

#[tokio::test]
async fn new_sources_take_effect_with_the_next_record() {
    let world = World::new(1).await;
    world.sources.send_replace(giving(&world.topic, 1));
    let reader = world.read();
    world.send(record("ann")).await;
    until_ann_has(&world, 1).await;
    world.sources.send_replace(giving(&world.topic, 10));
    world.send(record("ann")).await;
    until_ann_has(&world, 11).await;
    reader.stop().await;
}

#[tokio::test]
async fn a_topic_that_new_sources_name_is_read_without_a_restart() {
    let world = World::new(1).await;
    let other = test_cluster::create_topic("other", 1).await;
    let options = IngestOptions { topics: vec![other.clone()], ..world.options() };
    let reader = world.read_with(options);
    reader.until_partitions(|n| n == 1).await;
    world.send(record("ann")).await;
    world.sources.send_replace(giving(&world.topic, 1));
    until_ann_has(&world, 1).await;
    assert_eq!(reader.partitions_by_topic().len(), 2);
    // The topic is no longer read once no source file names it.
    world.sources.send_replace(Arc::default());
    eventually("the topic is left", async || {
        let topics = reader.partitions_by_topic();
        (topics.len() == 1 && topics.contains_key(&other)).then_some(())
    })
    .await;
    reader.until_ready().await;
    reader.stop().await;
}

#[tokio::test]
async fn the_last_records_are_read_beside_the_group() {
    let world = World::new(2).await;
    let options = world.options();
    let last = async |count| {
        let records = last_records(&options, &world.topic, count).await.unwrap();
        let value = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        records.iter().map(|r| value(r.as_raw().value.unwrap())).collect::<Vec<_>>()
    };
    eventually("the topic can be read", async || {
        last_records(&options, &world.topic, 1).await.ok()
    })
    .await;
    assert!(last(10).await.is_empty());
    for n in 0..6 {
        let value = Some(n.to_string().into_bytes());
        world.send(Sent { partition: n % 2, value, ..Sent::default() }).await;
    }
    assert_eq!(last(10).await.len(), 6);
    let mut three = last(3).await;
    three.sort();
    assert_eq!(three, ["3", "4", "5"]);
    let missing = last_records(&options, "no.such.topic", 1).await.unwrap_err();
    assert!(missing.to_string().contains("no.such.topic does not exist"), "{missing}");
    // Nothing was committed, so a reader begins with the first record.
    world.sources.send_replace(giving(&world.topic, 1));
    let reader = world.read();
    world.until_parked(6).await;
    reader.stop().await;
}
