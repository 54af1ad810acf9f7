//! Topics that are missing, were created again, or have lost records.

use plaudit_embedded::test_cluster;
use plaudit_event_store::sources;
use plaudit_ingest::status::TopicState;
use plaudit_ingest::{GroupProtocol, IngestOptions};

use crate::world::{World, eventually, metrics, status};

#[tokio::test]
async fn a_missing_topic_is_named_and_waited_for() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let world = World::with_topic(test_cluster::unique_name("missing")).await;
        let reader = world.read_with(world.with_protocol(protocol));
        reader.until_refused(&[&world.topic, "does not exist"]).await;
        let found = status(&world.options(), &world).await;
        assert_eq!(found.topics[0].state, TopicState::Missing);
        world.create_topic(1).await;
        world.gifts(0, [("ann", 1)]).await;
        world.until_coins(&[("ann", 1)]).await;
        reader.until_ready().await;
        reader.stop().await;
    }
}

#[tokio::test]
async fn several_topics_are_read_by_one_reader() {
    let world = World::new(2).await;
    // Only its topic is used.
    let other = World::new(3).await;
    let topics = vec![world.topic.clone(), other.topic.clone()];
    let reader = world.read_with(IngestOptions { topics, ..world.options() });
    for number in 0..20 {
        world.gifts(number % 2, [("ann", u32::try_from(number).unwrap())]).await;
        other.gifts(number % 3, [("ben", u32::try_from(number).unwrap())]).await;
    }
    world.until_coins(&[("ann", 20), ("ben", 20)]).await;
    assert_eq!(reader.partitions(), 5);
    reader.until_ready().await;
    reader.stop().await;
}

#[tokio::test]
async fn a_topic_that_is_missing_stops_no_other() {
    let world = World::new(1).await;
    let missing = test_cluster::unique_name("missing");
    let topics = vec![missing.clone(), world.topic.clone()];
    let options = IngestOptions { topics, ..world.options() };
    let reader = world.read_with(options.clone());
    world.gifts(0, (0..5).map(|id| ("ann", id))).await;
    world.until_coins(&[("ann", 5)]).await;
    reader.until_refused(&[&missing, "does not exist"]).await;
    let found = status(&options, &world).await;
    let states: Vec<TopicState> = found.topics.iter().map(|found| found.state).collect();
    assert_eq!(states, [TopicState::Missing, TopicState::Fine]);
    reader.stop().await;
}

/// Reads five records, then deletes the topic and creates it again with two other records.
async fn recreated() -> World {
    let world = World::new(1).await;
    world.gifts(0, (0..5).map(|id| ("ann", id))).await;
    let reader = world.read();
    world.until_coins(&[("ann", 5)]).await;
    reader.stop().await;
    test_cluster::delete_topic(&world.topic).await;
    world.create_topic(1).await;
    world.gifts(0, (10..12).map(|id| ("ben", id))).await;
    world
}

#[tokio::test]
async fn rule_21_a_topic_created_again_is_refused_until_it_is_accepted() {
    let world = recreated().await;
    let reader = world.read();
    reader.until_refused(&[&world.topic, "plaudit ingest accept-new-topic"]).await;
    let found = status(&world.options(), &world).await;
    assert_eq!(found.topics[0].state, TopicState::Recreated);
    assert!(!found.is_fine());
    assert!(
        found.to_string().contains(&format!("plaudit ingest accept-new-topic {}", world.topic))
    );

    // The topic stays refused when it is longer than its predecessor, and for a new reader.
    world.gifts(0, (12..20).map(|id| ("ben", id))).await;
    reader.stop().await;
    let reader = world.read();
    reader.until_refused(&[&world.topic]).await;
    world.until_coins(&[("ann", 5)]).await;

    sources::accept_new_topic(&world.pool, &world.topic).await.unwrap();
    world.until_coins(&[("ann", 5), ("ben", 10)]).await;
    reader.until_ready().await;
    reader.stop().await;

    let reader = world.read();
    world.gifts(0, [("ben", 20)]).await;
    world.until_coins(&[("ann", 5), ("ben", 11)]).await;
    reader.stop().await;
    assert!(status(&world.options(), &world).await.is_fine());
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn rule_21_a_topic_created_again_while_it_is_read_is_refused_until_it_is_accepted() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let world = World::new(2).await;
        let reader = world.read_with(world.with_protocol(protocol));
        world.gifts(0, (0..5).map(|id| ("ann", id))).await;
        world.gifts(1, (0..5).map(|id| ("ben", id))).await;
        world.until_coins(&[("ann", 5), ("ben", 5)]).await;
        test_cluster::delete_topic(&world.topic).await;
        world.create_topic(2).await;
        world.gifts(0, [("cid", 1)]).await;
        world.gifts(1, [("dan", 1)]).await;
        reader.until_refused(&[&world.topic, "plaudit ingest accept-new-topic"]).await;
        world.until_coins(&[("ann", 5), ("ben", 5)]).await;
        sources::accept_new_topic(&world.pool, &world.topic).await.unwrap();
        world.until_coins(&[("ann", 5), ("ben", 5), ("cid", 1), ("dan", 1)]).await;
        reader.until_ready().await;
        reader.stop().await;
    }
}

#[tokio::test]
async fn rule_21_records_removed_before_they_were_read_are_named_and_the_rest_is_read() {
    let world = World::new(2).await;
    let reader = world.read();
    world.gifts(1, (0..3).map(|id| ("ann", id))).await;
    world.until_coins(&[("ann", 3)]).await;
    reader.stop().await;
    world.gifts(1, (3..10).map(|id| ("ann", id))).await;
    world.remove_records(1, 7).await;

    let found = status(&world.options(), &world).await;
    assert_eq!(found.topics[0].partitions[1].lost, 4);
    let reader = world.read();
    world.until_coins(&[("ann", 6)]).await;
    let parked = world.until_parked(1).await;
    reader.stop().await;
    let (topic, reason) = (&world.topic, &parked[0].reason);
    assert!(reason.contains(&format!("topic {topic}, partition 1, offsets 3 to 6")), "{reason}");
    assert_eq!((parked[0].topic.as_ref(), parked[0].partition), (Some(topic), Some(1)));
    let counted = format!(r#"plaudit_records_lost_total{{topic="{topic}"}} 4"#);
    assert!(metrics().contains(&counted), "{counted}");

    // The loss is named once, even if another reader meets it.
    let reader = world.read();
    world.gifts(1, [("ann", 10)]).await;
    world.until_coins(&[("ann", 7)]).await;
    reader.stop().await;
    assert_eq!(world.parked().await.len(), 1);
}

/// Returns options with small buffers, so that a reader soon stands still.
fn hesitant(world: &World, group_protocol: GroupProtocol) -> IngestOptions {
    let small = [
        ("queued.max.messages.kbytes", "1"),
        ("queued.min.messages", "1"),
        ("fetch.message.max.bytes", "600"),
        ("fetch.max.bytes", "1000"),
        ("message.max.bytes", "1000"),
    ];
    let properties = small.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    IngestOptions { batch_max: 1, properties, group_protocol, ..world.options() }
}

#[tokio::test]
async fn rule_21_records_removed_while_reading_stands_still_are_named() {
    for protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
        let world = World::new(2).await;
        let reader = world.read_with(hesitant(&world, protocol));
        world.gifts(0, [("ann", 0)]).await;
        world.gifts(1, [("ben", 0)]).await;
        world.until_coins(&[("ann", 1), ("ben", 1)]).await;
        let mut holding = world.pool.begin().await.unwrap();
        // Longer than the pool's limit for idle transactions.
        let endless = "set local idle_in_transaction_session_timeout = 0";
        sqlx::query(endless).execute(&mut *holding).await.unwrap();
        sqlx::query("select pg_advisory_xact_lock(1347174741, lane) from lane_numbers")
            .execute(&mut *holding)
            .await
            .unwrap();
        for id in 1..200 {
            world.gifts(0, [("ann", id)]).await;
        }
        world.remove_records(0, 200).await;
        holding.rollback().await.unwrap();
        for id in 200..210 {
            world.gifts(0, [("ann", id)]).await;
            world.gifts(1, [("ben", id)]).await;
        }
        // Every record is either applied or named as lost, and none is both.
        eventually("all are applied or named", async || {
            let applied = world.coins().await.get("ann").map_or(0, |(coins, _)| *coins);
            let parked = world.parked().await;
            let lost: i64 = parked.iter().map(|p| lost(&p.reason)).sum();
            assert!(applied + lost <= 210, "{applied} applied, {parked:?}");
            (lost > 0 && applied + lost == 210).then_some(())
        })
        .await;
        eventually("the other partition is read", async || {
            (world.coins().await["ben"] == (11, 11)).then_some(())
        })
        .await;
        reader.until_ready().await;
        reader.stop().await;
    }
}

fn lost(reason: &str) -> i64 {
    let range = reason.split("offsets ").nth(1).unwrap();
    let mut numbers = range.split_whitespace().filter_map(|word| word.parse::<i64>().ok());
    let (from, last) = (numbers.next().unwrap(), numbers.next().unwrap());
    last - from + 1
}
