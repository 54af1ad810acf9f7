//! Grants by hand are delivered as others are; a revoked one is never sent.

use plaudit_domain::catalogue::definition::Payout;
use plaudit_domain::user_tasks::{Change, Correction, HandCommand, Reward, Seed};
use plaudit_event_store::{ByHand, HandAnswer, HandChange, Item, Origin, RequestKey, deliveries};
use serde_json::json;
use uuid::Uuid;

use crate::payer::{Answer, Payer, SECRET};
use crate::world::{World, eventually, user_id};

async fn correct(world: &World, change: Change, revoked: Option<Reward>) -> HandAnswer {
    let user = user_id("ann");
    let request = Uuid::now_v7();
    let operation = change.name().to_owned();
    let key = RequestKey { user: user.clone(), operation, key: request.to_string() };
    let (by, reason) = ("ops".to_owned(), "an outage".to_owned());
    let at = jiff::Timestamp::now();
    let correction = Correction { user, change, by, reason, at, seed: Seed(1) };
    let command = Box::new(HandCommand::Correct(correction));
    let work = ByHand { key, command, revoked: revoked.map(Box::new) };
    let item = Item { lane: world.lane_of("ann"), work, origin: Origin::Request(request) };
    world.executor.execute_one(item).await.unwrap().answer.unwrap()
}

pub async fn grant(world: &World, line: &str) -> Reward {
    grant_of(world, line, "coin").await
}

/// Grants 50 of a currency.
pub async fn grant_of(world: &World, line: &str, code: &str) -> Reward {
    let payout = Payout { kind: "currency".to_owned(), code: code.to_owned(), amount: 50 };
    let outcome = correct(world, Change::Grant { line: line.to_owned(), payout }, None).await;
    let HandAnswer::Changed(receipt) = outcome else { panic!("{outcome:?}") };
    let HandChange::RewardGranted { reward } = receipt.change else { panic!("{receipt:?}") };
    reward
}

pub async fn revoke(world: &World, reward: &Reward) -> HandAnswer {
    let change = Change::Revoke { grant: reward.grant, whole_milestone: false };
    correct(world, change, Some(reward.clone())).await
}

/// The states of a grant's deliveries.
pub async fn deliveries_of(world: &World, grant: Uuid) -> Vec<String> {
    let entry = deliveries::find(&world.pool, grant).await.unwrap().unwrap();
    entry.deliveries.into_iter().map(|delivery| delivery.state).collect()
}

#[tokio::test]
async fn a_grant_by_hand_is_published_and_one_that_was_revoked_before_is_not() {
    let world = World::new().await;
    let (revoked, kept) = (grant(&world, "one").await, grant(&world, "two").await);
    let outcome = revoke(&world, &revoked).await;
    assert!(matches!(outcome, HandAnswer::Changed(_)), "{outcome:?}");
    let deliverer = world.deliver();
    let published = world.until_published(1).await;
    world.until_caught_up().await;
    eventually("the revoked delivery is at its end", async || {
        (deliveries_of(&world, revoked.grant).await == ["revoked"]).then_some(())
    })
    .await;
    // Later rewards are sent after earlier ones.
    world.gifts(&["ann"], 1).await;
    let all = world.until_published(3).await;
    deliverer.stop().await;
    assert_eq!(published[0].id(), kept.grant);
    assert_eq!(published[0].event["data"]["task"], "plaudit.by-hand");
    assert!(all.iter().all(|reward| reward.id() != revoked.grant), "{all:?}");
    // A reward that is on its way can't be revoked.
    let outcome = revoke(&world, &kept).await;
    assert!(matches!(outcome, HandAnswer::Rejected(_)), "{outcome:?}");
}

/// Neither the payer nor the topic gets the reward, although its deliveries had been queued before.
#[tokio::test]
async fn a_reward_whose_delivery_waits_is_not_sent_once_it_is_revoked() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Paid).await;
    let channel = json!([{"name": "wallet", "type": "webhook", "url": payer.url, "secrets": [SECRET],
        "grants": [{"kind": "*"}], "allow_private": true}]);
    let reward = grant(&world, "one").await;
    // As the follower would have queued it.
    let lane = world.lane_of("ann");
    let queued = |channel: &str, pays| deliveries::Queued {
        lane,
        user: user_id("ann"),
        reward: reward.clone(),
        place: plaudit_event_store::rewards::RewardPlace { position: 1, ordinal: 0 },
        channel: channel.to_owned(),
        pays,
        retry_for: None,
    };
    let rows = [queued("kafka", false), queued("wallet", true)];
    deliveries::queue(&rows, &mut world.pool.acquire().await.unwrap()).await.unwrap();
    let outcome = revoke(&world, &reward).await;
    assert!(matches!(outcome, HandAnswer::Changed(_)), "{outcome:?}");
    let deliverer = world.deliver_through(&channel);
    eventually("both deliveries are at their end", async || {
        (deliveries_of(&world, reward.grant).await == ["revoked", "revoked"]).then_some(())
    })
    .await;
    world.gifts(&["ann"], 1).await;
    let published = world.until_published(2).await;
    deliverer.stop().await;
    assert!(published.iter().all(|sent| sent.id() != reward.grant), "{published:?}");
    assert!(payer.messages().iter().all(|(id, _)| *id != reward.grant.to_string()));
}
