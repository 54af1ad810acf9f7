//! Mappings that take a long time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_actions::sources::Sources;
use plaudit_embedded::ScratchDir;
use serde_json::json;

use crate::world::{Sent, World};

/// Creates a world with two partitions and a mapping whose time depends on the record.
async fn slow_world() -> World {
    let world = World::new(2).await;
    let file = json!({"sources": [{
        "topic": world.topic,
        "when": "value.n.exists(a, value.n.exists(b, a + b == -1)) || true",
        "action": {"id": "value.id", "source": "'/gifts'", "type": "'gift.sent'",
            "user": "value.user", "time": "'2025-03-29T01:30:00Z'", "data": "{'coins': 1}"},
    }]});
    let dir = ScratchDir::create("sources").unwrap();
    std::fs::write(dir.path().join("slow.yaml"), file.to_string()).unwrap();
    world.sources.send_replace(Arc::new(Sources::load(dir.path()).unwrap()));
    world
}

fn record(partition: i32, user: &str, id: u32, zeros: usize) -> Sent<'static> {
    let value = json!({"user": user, "id": id, "n": vec![0; zeros]});
    Sent { partition, value: Some(value.to_string().into_bytes()), ..Sent::default() }
}

#[tokio::test]
async fn rule_23_a_slow_mapping_stops_neither_other_partitions_nor_the_end() {
    let world = slow_world().await;
    // Without a limit, these records would take minutes.
    for id in 0..20 {
        world.send(record(0, "ann", id, 1500)).await;
    }
    let reader = world.read();
    reader.until_partitions(|n| n == 2).await;
    for id in 0..20 {
        world.send(record(1, "ben", id, 1)).await;
    }
    let of_ben = async || (world.coins().await.get("ben") == Some(&(20, 20))).then_some(());
    crate::world::eventually("the other partition is applied", of_ben).await;
    let began = Instant::now();
    reader.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
