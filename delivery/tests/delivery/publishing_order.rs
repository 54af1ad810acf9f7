//! A record that the broker refuses: later records of the same user that it took are sent again
//! behind it.

use std::time::Duration;

use plaudit_delivery::message::{self, Role};
use plaudit_embedded::test_cluster;
use plaudit_embedded::waiting::within;
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use uuid::Uuid;

use crate::revocations::{grant, grant_of};
use crate::world::{Deliverer, PARTITIONS, World, eventually, user_id};

/// The topic's limit on the size of a record, in bytes.
const LIMIT: &str = "max.message.bytes";

fn admin(world: &World) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", &world.brokers).create().unwrap()
}

/// A user's two rewards: the topic does not take the first one, because it is too long.
async fn too_long_and_short() -> (World, Uuid, Uuid) {
    let world = World::with_topic(test_cluster::unique_name("rewards-limited")).await;
    let long = grant_of(&world, "one", &"x".repeat(190)).await;
    let short = grant(&world, "two").await;
    // Headers, key and the frame of a batch take some 150 bytes.
    let limit = message::body(&user_id("ann"), &short, Role::ToPay).len() + 220;
    let limit = limit.to_string();
    let topic = NewTopic::new(&world.topic, PARTITIONS, TopicReplication::Fixed(1));
    let (admin, topic) = (admin(&world), topic.set(LIMIT, &limit));
    for created in admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() {
        created.unwrap();
    }
    (world, long.grant, short.grant)
}

/// Makes the topic take longer records.
async fn raise_limit(world: &World) {
    let topic = AlterConfig::new(ResourceSpecifier::Topic(&world.topic)).set(LIMIT, "1000000");
    let admin = admin(world);
    for altered in admin.alter_configs([&topic], &AdminOptions::new()).await.unwrap() {
        altered.unwrap();
    }
}

/// Delivers with each record in a request of its own.
fn deliver(world: &World, property: Option<&str>) -> Deliverer {
    let mut options = world.options();
    let properties = [("batch.num.messages", "1")].into_iter().chain(property.map(|p| (p, "true")));
    options.topic.properties.extend(properties.map(|(k, v)| (k.to_owned(), v.to_owned())));
    world.deliver_with(&options)
}

/// Lets the topic take everything, and ends the delivery. The last records of the two rewards are
/// in order.
async fn until_ended_in_order(world: &World, deliverer: Deliverer, long: &Uuid, short: &Uuid) {
    raise_limit(world).await;
    world.until_caught_up().await;
    deliverer.until_well().await;
    deliverer.stop().await;
    let ids = ids(world).await;
    let first = ids.iter().position(|id| id == long).unwrap();
    assert!(ids[first..].contains(short), "{ids:?}");
}

async fn ids(world: &World) -> Vec<Uuid> {
    world.published().await.iter().map(super::world::Published::id).collect()
}

#[tokio::test]
async fn rule_16_what_arrived_before_an_earlier_reward_of_its_user_is_sent_again_behind_it() {
    let (world, long, short) = too_long_and_short().await;
    let deliverer = deliver(&world, None);
    deliverer.until_problem(&["can't be published"]).await;
    eventually("the second one has arrived", async || {
        ids(&world).await.contains(&short).then_some(())
    })
    .await;
    // The second one is not sent again with each attempt of the first.
    let repeated = async || Some(ids(&world).await).filter(|ids| ids.len() > 2);
    assert_eq!(within(Duration::from_secs(3), repeated).await, None);
    until_ended_in_order(&world, deliverer, &long, &short).await;
}

/// With this property a record that is missing from its sequence is a fatal error of the client.
#[tokio::test]
async fn a_kafka_client_that_failed_for_good_is_replaced() {
    let (world, long, short) = too_long_and_short().await;
    let deliverer = deliver(&world, Some("enable.gapless.guarantee"));
    deliverer.until_problem(&["can't be published"]).await;
    until_ended_in_order(&world, deliverer, &long, &short).await;
}
