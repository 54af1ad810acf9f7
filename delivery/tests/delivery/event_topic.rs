//! The topic of all stored events.

use std::collections::BTreeMap;

use plaudit_delivery::EventTopic;
use plaudit_embedded::test_cluster;
use plaudit_followers::HeadWatch;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::world::{Published, World, eventually};

struct Follower {
    topic: EventTopic,
    stop: CancellationToken,
}

impl Follower {
    fn start(world: &World) -> Self {
        let stop = CancellationToken::new();
        let heads = HeadWatch::start(&world.pool, stop.clone());
        let topic = world.options().topic;
        let topic = EventTopic::start(&topic, &world.pool, heads, &stop).unwrap();
        Self { topic, stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.topic.join().await;
    }
}

/// Position, type and sequence of each event of the log, by user.
async fn stored(world: &World) -> BTreeMap<String, Vec<(String, String, i64)>> {
    let rows: Vec<(String, i16, i64, String, i64)> = sqlx::query_as(
        "select aggregate_id, lane, position, event_type, sequence from events order by lane, position",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let mut by_user: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (user, lane, position, event_type, sequence) in rows {
        let event = (format!("{lane}:{position}"), format!("plaudit.event.{event_type}"), sequence);
        by_user.entry(user).or_default().push(event);
    }
    by_user
}

fn published(records: &[Published]) -> BTreeMap<String, Vec<(String, String, i64)>> {
    let mut by_user: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for Published { key, event, .. } in records {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        assert_eq!(event["subject"], json!(key));
        let sequence = event["data"]["sequence"].as_i64().unwrap();
        by_user.entry(key.clone()).or_default().push((text("id"), text("type"), sequence));
    }
    by_user
}

async fn until_all_are_published(world: &World) {
    let expected = stored(world).await;
    let count = expected.values().map(Vec::len).sum();
    let records = world.until_published(count).await;
    assert_eq!(published(&records), expected);
}

#[tokio::test]
async fn every_event_is_published_in_order_from_the_beginning_of_the_log() {
    let world = World::new().await;
    let users = ["ann", "ben", "cid", "dan", "eve"];
    world.gifts(&users, 1).await;
    world.act(&users, "team.formed", 7).await;
    let follower = Follower::start(&world);
    until_all_are_published(&world).await;
    world.gifts(&users, 2).await;
    world.claim("ann", "team").await;
    until_all_are_published(&world).await;
    follower.stop().await;

    // The next process continues from the checkpoints.
    world.gifts(&["ann"], 3).await;
    let follower = Follower::start(&world);
    until_all_are_published(&world).await;
    follower.stop().await;
    let records = world.published().await;
    let first = records.iter().find(|record| record.key == "ann").unwrap();
    assert_eq!(first.content_type, "application/cloudevents+json; charset=UTF-8");
    assert_eq!(first.event["source"], "/plaudit/events");
    assert_eq!(first.event["data"]["metadata"]["action_type"], "gift.sent");
    assert_ne!(first.event["data"]["payload"], Value::Null);
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named_and_loses_no_event() {
    let world = World::with_topic(test_cluster::unique_name("missing")).await;
    world.gifts(&["ann", "ben"], 1).await;
    let follower = Follower::start(&world);
    let why = eventually("it is named", async || {
        follower.topic.health().warnings().into_iter().find(|text| text.contains(&world.topic))
    })
    .await;
    assert!(why.contains("does not exist; create it"), "{why}");
    world.create_topic().await;
    until_all_are_published(&world).await;
    eventually("nothing is wrong", async || {
        follower.topic.health().warnings().is_empty().then_some(())
    })
    .await;
    follower.stop().await;
}
