//! A record that the broker refuses: later records of the same user that it took are sent again
//! behind it.

use std::time::Duration;

use plaudit_delivery::message::{self, Role};
use plaudit_delivery::{Channels, DeliveryOptions};
use plaudit_domain::user_tasks::{Reward, RewardState};
use plaudit_embedded::test_cluster;
use plaudit_embedded::waiting::within;
use plaudit_event_store::{HandAnswer, deliveries};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use serde_json::json;
use uuid::Uuid;

use crate::revocations::{grant, grant_of, revoke};
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
    deliverer.until_problem(&["are not published"]).await;
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
    deliverer.until_problem(&["are not published"]).await;
    until_ended_in_order(&world, deliverer, &long, &short).await;
}

/// The states of two rewards, each with that of its delivery, which is empty until it is queued.
async fn states(world: &World, grants: [Uuid; 2]) -> [(RewardState, String); 2] {
    let mut states = Vec::new();
    for grant in grants {
        let entry = deliveries::find(&world.pool, grant).await.unwrap().unwrap();
        let delivery = entry.deliveries.first().map(|delivery| delivery.state.clone());
        states.push((entry.state, delivery.unwrap_or_default()));
    }
    states.try_into().unwrap()
}

#[tokio::test]
async fn rule_23_a_record_that_the_broker_refuses_for_good_is_given_up_and_named() {
    let (world, long, short) = too_long_and_short().await;
    let options = DeliveryOptions { refused_for: Duration::ZERO, ..world.options() };
    let deliverer = world.deliver_with(&options);
    eventually("the first one is given up, and the second one sent", async || {
        let [(of_long, long), (_, short)] = states(&world, [long, short]).await;
        let ended = of_long == RewardState::Failed && long == "failed" && short == "sent";
        ended.then_some(())
    })
    .await;
    deliverer.until_well().await;
    let entry = deliveries::find(&world.pool, long).await.unwrap().unwrap();
    let reason = entry.deliveries[0].reason.clone().unwrap();
    assert!(reason.contains("refuses the record for good"), "{reason}");
    // Once the limit is raised, an operator has it sent again.
    raise_limit(&world).await;
    world.redeliver("ann", long).await;
    eventually("the first one is sent", async || ids(&world).await.contains(&long).then_some(()))
        .await;
    deliverer.stop().await;
}

/// Delivers to a payer that confirms nothing, and stops while the topic does not take the first
/// record. Returns the options.
async fn stopped_while_it_publishes(world: &World) -> DeliveryOptions {
    let channels = json!([{"name": "kafka", "type": "kafka", "ack": "none"}]);
    let channels = Channels::parse(&channels.to_string()).unwrap();
    let options = DeliveryOptions { channels, ..world.options() };
    let deliverer = world.deliver_with(&options);
    deliverer.until_problem(&["are not published"]).await;
    deliverer.stop().await;
    options
}

/// A topic whose payer confirms nothing gets rewards without an event before each. What a process
/// that was stopped may have published can't be revoked all the same, until it is known.
#[tokio::test]
async fn rule_16_what_a_stopped_process_may_have_published_is_not_revoked() {
    let (world, long, short) = too_long_and_short().await;
    let options = stopped_while_it_publishes(&world).await;
    assert_eq!(world.events_of("ann").await, ["reward_granted", "reward_granted"]);
    let outcome = revoke(&world, &reward(&world, long).await).await;
    assert!(matches!(outcome, HandAnswer::Rejected(_)), "{outcome:?}");
    // What was granted since then is not under way.
    let later = grant(&world, "three").await;
    let outcome = revoke(&world, &later).await;
    assert!(matches!(outcome, HandAnswer::Changed(_)), "{outcome:?}");

    raise_limit(&world).await;
    let deliverer = world.deliver_with(&options);
    eventually("both are delivered", async || {
        let all = states(&world, [long, short]).await;
        all.iter().all(|(state, _)| *state == RewardState::Delivered).then_some(())
    })
    .await;
    world.until_caught_up().await;
    deliverer.stop().await;
    assert!(!ids(&world).await.contains(&later.grant));
    let outcome = revoke(&world, &reward(&world, long).await).await;
    assert!(matches!(outcome, HandAnswer::Rejected(_)), "{outcome:?}");
    let events = world.events_of("ann").await;
    assert!(!events.contains(&"delivery_started".to_owned()), "{events:?}");
}

/// A redelivery is queued behind what the process may have published, so the log has to tell.
#[tokio::test]
async fn rule_16_a_redelivery_does_not_let_go_of_what_may_be_paid() {
    let (world, long, _) = too_long_and_short().await;
    stopped_while_it_publishes(&world).await;
    world.redeliver("ann", long).await;
    assert_eq!(states(&world, [long, long]).await[0].0, RewardState::Delivering);
    let outcome = revoke(&world, &reward(&world, long).await).await;
    assert!(matches!(outcome, HandAnswer::Rejected(_)), "{outcome:?}");
    let events = world.events_of("ann").await;
    assert_eq!(events[2..], ["delivery_started", "redelivery_requested"]);
}

async fn reward(world: &World, grant: Uuid) -> Reward {
    deliveries::find(&world.pool, grant).await.unwrap().unwrap().row.reward
}
