//! Delivered rewards that are sent again because the payer forgot them. They stay delivered, so
//! that only the table of deliveries says whether the payer has them.

use plaudit_domain::user_tasks::{Reward, RewardState};
use plaudit_event_store::deliveries::{self, Filter, GrantEntry, Listed};
use serde_json::json;

use crate::payer::{Answer, Payer};
use crate::redeliveries::ways_of;
use crate::revocations::grant;
use crate::webhooks::{everything, states, until_states, webhook};
use crate::world::{World, eventually};

/// The grants that `rewards list --state failed` shows.
async fn failed(world: &World) -> Vec<GrantEntry> {
    let filter = Filter { state: Some(RewardState::Failed), limit: 10, ..Filter::default() };
    deliveries::list(&world.pool, &filter).await.unwrap().unwrap().grants
}

/// Waits until the delivery to the payer has this state.
async fn until_way_is(world: &World, reward: &Reward, state: &str) -> Listed {
    eventually(&format!("its way to the payer is {state}"), async || {
        let ways = ways_of(world, reward.grant).await;
        ways.into_iter().next().filter(|way| way.state == state)
    })
    .await
}

/// The payer does not take the reward again: an operator finds it and sees the reason.
async fn is_found_after(answer: fn(usize) -> Answer, retry_for: &str, reason: &str) {
    let world = World::new().await;
    let payer = Payer::start(answer).await;
    let channel = webhook("pay", &payer.url, &everything(), &json!({"retry_for": retry_for}));
    let deliverer = world.deliver_through(&json!([channel]));
    let reward = grant(&world, "one").await;
    until_states(&world, &["delivered"]).await;
    until_way_is(&world, &reward, "delivered").await;
    assert!(failed(&world).await.is_empty());
    world.redeliver_delivered("ann", reward.grant).await;
    let way = until_way_is(&world, &reward, "failed").await;
    let shown = way.reason.unwrap_or_default();
    assert!(shown.contains(reason), "{shown}");
    assert_eq!(states(&world).await, ["delivered"]);
    let found = failed(&world).await;
    assert_eq!(found.len(), 1);
    assert!(found[0].has_failed_again());
    deliverer.until_problem(&["channel pay", "have failed", "--state failed"]).await;
    deliverer.stop().await;
}

#[tokio::test]
async fn a_delivered_reward_that_is_refused_when_it_is_sent_again_is_listed_as_failed() {
    let refuses = |before| if before == 0 { Answer::Paid } else { Answer::Status(422) };
    is_found_after(refuses, "PT1H", "422").await;
}

#[tokio::test]
async fn a_delivered_reward_that_can_not_be_sent_again_in_time_is_listed_as_failed() {
    let is_down = |before| if before == 0 { Answer::Paid } else { Answer::Status(500) };
    is_found_after(is_down, "PT3S", "not delivered in time").await;
}

/// A payer that confirms by actions confirms a reward that was delivered before; that ends the
/// redelivery.
#[tokio::test]
async fn an_acknowledgement_ends_the_redelivery_of_a_delivered_reward() {
    let world = World::new().await;
    let deliverer = world.deliver();
    let reward = grant(&world, "one").await;
    until_way_is(&world, &reward, "sent").await;
    world.confirm("ann", reward.grant).await;
    until_way_is(&world, &reward, "delivered").await;

    world.redeliver_delivered("ann", reward.grant).await;
    until_way_is(&world, &reward, "sent").await;
    world.say("ann", reward.grant, "plaudit.reward.failed").await;
    let way = until_way_is(&world, &reward, "failed").await;
    assert!(way.reason.unwrap_or_default().contains("the payer reported a failure"));
    assert_eq!(failed(&world).await.len(), 1);

    world.redeliver_delivered("ann", reward.grant).await;
    until_way_is(&world, &reward, "sent").await;
    assert!(failed(&world).await.is_empty());
    world.confirm("ann", reward.grant).await;
    until_way_is(&world, &reward, "delivered").await;
    deliverer.stop().await;
    assert_eq!(states(&world).await, ["delivered"]);
    let published = world.published().await;
    assert!(published.len() >= 3 && published.iter().all(|sent| sent.id() == reward.grant));
}
