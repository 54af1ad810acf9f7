//! Rewards that are redelivered, revoked or confirmed while their channel to the payer is blocked
//! or changes.

use std::time::Duration;

use plaudit_delivery::Channels;
use plaudit_event_store::HandAnswer;
use plaudit_event_store::deliveries::{
    self, Attempt, DeliveryState, Listed, Noted, Queued, QueuedAgain,
};
use plaudit_event_store::rewards::RewardPlace;
use serde_json::json;
use uuid::Uuid;

use crate::payer::{Answer, Payer};
use crate::revocations::{deliveries_of, grant, revoke};
use crate::webhooks::{entries, everything, states, until_states, webhook};
use crate::world::{World, eventually, user_id};

/// The deliveries of a grant, the one to the payer first.
pub async fn ways_of(world: &World, grant: Uuid) -> Vec<Listed> {
    deliveries::find(&world.pool, grant).await.unwrap().unwrap().deliveries
}

/// Channel, role and state of each delivery of a grant.
pub async fn ways(world: &World, grant: Uuid) -> Vec<(String, bool, String)> {
    let ways = ways_of(world, grant).await;
    ways.into_iter().map(|way| (way.channel, way.pays, way.state)).collect()
}

pub async fn until_asked(payer: &Payer, count: usize) {
    eventually("the payer is asked", async || (payer.messages().len() >= count).then_some(()))
        .await;
}

pub fn way(channel: &str, pays: bool, state: &str) -> (String, bool, String) {
    (channel.to_owned(), pays, state.to_owned())
}

/// The deliveries of a grant that goes by `new` after `old` was removed.
fn new_instead_of_old() -> [(String, bool, String); 3] {
    [way("new", true, "delivered"), way("kafka", false, "delivered"), way("old", false, "replaced")]
}

#[tokio::test]
async fn rule_14_a_reward_that_was_rerouted_is_redelivered_by_its_new_way_alone() {
    let world = World::new().await;
    let (old, new) =
        (Payer::start(|_| Answer::Status(500)).await, Payer::start(|_| Answer::Paid).await);
    let reward = grant(&world, "one").await;
    let deliverer =
        world.deliver_through(&json!([webhook("old", &old.url, &everything(), &json!({}))]));
    until_asked(&old, 1).await;
    deliverer.stop().await;
    let asked = old.messages().len();

    // The old endpoint stays, for other grants.
    let channels = json!([
        webhook("old", &old.url, &json!([{"code": "gold"}]), &json!({})),
        webhook("new", &new.url, &everything(), &json!({})),
    ]);
    world.redeliver_to_new_payer("ann", reward.grant).await;
    let deliverer = world.deliver_through(&channels);
    until_states(&world, &["delivered"]).await;
    // A later grant by the old channel shows that it has nothing else to send.
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    until_asked(&old, asked + 1).await;
    deliverer.stop().await;
    assert_eq!(new.grants(), [reward.grant.to_string()]);
    assert!(old.grants()[asked..].iter().all(|grant| *grant != reward.grant.to_string()));
    assert_eq!(ways(&world, reward.grant).await, new_instead_of_old());
}

/// The old payer may have paid without its answer being stored, so a new one is asked only if an
/// operator says so.
#[tokio::test]
async fn rule_14_a_reward_that_was_sent_is_not_redelivered_to_another_payer() {
    let world = World::new().await;
    let old =
        Payer::start(|before| if before == 0 { Answer::Later(503, "3600") } else { Answer::Paid });
    let (old, new) = (old.await, Payer::start(|_| Answer::Paid).await);
    let reward = grant(&world, "one").await;
    let deliverer =
        world.deliver_through(&json!([webhook("old", &old.url, &everything(), &json!({}))]));
    until_asked(&old, 1).await;
    deliverer.stop().await;
    let channels = json!([
        webhook("old", &old.url, &json!([{"code": "gold"}]), &json!({})),
        webhook("new", &new.url, &everything(), &json!({})),
    ]);
    let routes = Channels::parse(&channels.to_string()).unwrap().routes();
    let entry = deliveries::find(&world.pool, reward.grant).await.unwrap().unwrap();
    let refusal = entry.new_payer(&routes).expect("an operator is warned").to_string();
    assert!(refusal.contains("channel old") && refusal.contains("by new"), "{refusal}");
    assert!(refusal.contains("--to-new-payer"), "{refusal}");

    // A command line that does not know the channels requests the redelivery all the same.
    world.redeliver("ann", reward.grant).await;
    let deliverer = world.deliver_through(&channels);
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    assert_eq!(old.grants(), vec![reward.grant.to_string(); 2]);
    assert!(new.grants().is_empty(), "{:?}", new.grants());
}

/// The end of the old channel's retries must not end those of the new one.
#[tokio::test]
async fn rule_16_a_renamed_channel_takes_over_and_the_end_of_the_old_one_changes_nothing() {
    let world = World::new().await;
    let dead = Payer::start(|_| Answer::Status(500)).await;
    let reward = grant(&world, "one").await;
    let short = json!({"retry_for": "PT8S"});
    let deliverer =
        world.deliver_through(&json!([webhook("old", &dead.url, &everything(), &short)]));
    until_asked(&dead, 1).await;
    deliverer.stop().await;
    world.redeliver_to_new_payer("ann", reward.grant).await;
    // The new channel fails for longer than the old one had left.
    let payer =
        Payer::start(|before| if before < 4 { Answer::Status(500) } else { Answer::Paid }).await;
    let deliverer =
        world.deliver_through(&json!([webhook("new", &payer.url, &everything(), &json!({}))]));
    until_states(&world, &["delivered"]).await;
    deliverer.until_well().await;
    deliverer.stop().await;
    assert!(!world.events_of("ann").await.contains(&"reward_failed".to_owned()));
    assert_eq!(ways(&world, reward.grant).await, new_instead_of_old());
}

/// Messages that were read ahead while the endpoint asked to be left alone are looked at again
/// before they are sent.
#[tokio::test]
async fn a_reward_that_was_given_up_and_revoked_is_not_sent_once_the_endpoint_is_back() {
    let world = World::new().await;
    let payer =
        Payer::start(|before| if before == 0 { Answer::Later(429, "10") } else { Answer::Paid });
    let payer = payer.await;
    let mut rewards = Vec::new();
    for line in ["one", "two", "three"] {
        rewards.push(grant(&world, line).await);
    }
    let one_by_one = json!({"retry_for": "PT5S", "concurrency": 1});
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &one_by_one)]));
    until_states(&world, &["failed", "failed", "failed"]).await;
    for reward in &rewards {
        let outcome = revoke(&world, reward).await;
        assert!(matches!(outcome, HandAnswer::Changed(_)), "{outcome:?}");
    }
    let later = grant(&world, "later").await;
    until_states(&world, &["delivered", "revoked", "revoked", "revoked"]).await;
    deliverer.stop().await;
    let asked = payer.grants();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[1], later.grant.to_string());
}

/// Publishing the copy hands nothing over: a reward that the payer was not asked to pay yet can be
/// revoked.
#[tokio::test]
async fn a_reward_whose_copy_was_published_can_be_revoked_while_its_endpoint_is_away() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Later(503, "600")).await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    let first = grant(&world, "one").await;
    until_asked(&payer, 1).await;
    // The answer is stored, so the endpoint is left alone by now.
    eventually("the answer is there", async || {
        (!ways_of(&world, first.grant).await.first()?.attempted.is_empty()).then_some(())
    })
    .await;
    let second = grant(&world, "two").await;
    world.until_published(2).await;
    eventually("the copy is at its end", async || {
        (deliveries_of(&world, second.grant).await == ["waiting", "delivered"]).then_some(())
    })
    .await;
    assert_eq!(states(&world).await, ["claimed", "delivering"]);
    let outcome = revoke(&world, &second).await;
    assert!(matches!(outcome, HandAnswer::Changed(_)), "{outcome:?}");
    let outcome = revoke(&world, &first).await;
    assert!(matches!(outcome, HandAnswer::Rejected(_)), "the payer may know of it: {outcome:?}");
    deliverer.stop().await;
    assert_eq!(payer.grants(), [first.grant.to_string()]);
}

/// A reader of the topic may confirm a copy by mistake. The payer must get the reward all the same.
#[tokio::test]
async fn what_is_confirmed_before_its_webhook_was_asked_is_sent_to_it_all_the_same() {
    let world = World::new().await;
    let payer =
        Payer::start(|before| if before == 0 { Answer::Later(503, "5") } else { Answer::Paid });
    let payer = payer.await;
    let one_by_one = json!({"concurrency": 1});
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &one_by_one)]));
    grant(&world, "one").await;
    until_asked(&payer, 1).await;
    let second = grant(&world, "two").await;
    world.confirm("ann", second.grant).await;
    until_states(&world, &["delivered", "delivered"]).await;
    eventually("both are at their ends", async || {
        (payer.paid().len() == 2
            && deliveries_of(&world, second.grant).await == ["delivered", "delivered"])
        .then_some(())
    })
    .await;
    deliverer.stop().await;
    let events = world.events_of("ann").await;
    assert_eq!(events.iter().filter(|event| *event == "reward_delivered").count(), 2);
}

#[tokio::test]
async fn a_reward_that_is_redelivered_while_its_message_is_on_its_way_is_asked_for_once_at_a_time()
{
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Slowly(Duration::from_secs(2))).await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    let reward = grant(&world, "one").await;
    until_asked(&payer, 1).await;
    world.redeliver("ann", reward.grant).await;
    until_states(&world, &["delivered"]).await;
    eventually("it is at its end", async || {
        (deliveries_of(&world, reward.grant).await == ["delivered", "delivered"]).then_some(())
    })
    .await;
    deliverer.stop().await;
    assert_eq!((payer.waiting_max(), payer.paid().len()), (1, 1));
}

#[tokio::test]
async fn a_webhook_whose_payer_confirms_by_actions_waits_for_them() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Paid).await;
    let by_action = json!({"ack": "action"});
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &by_action)]));
    let reward = grant(&world, "one").await;
    let until_way_is = async |state: &str| {
        eventually(&format!("its way is {state}"), async || {
            (ways_of(&world, reward.grant).await.first()?.state == state).then_some(())
        })
        .await;
    };
    until_way_is("sent").await;
    assert_eq!(states(&world).await, ["delivering"]);
    world.say("ann", reward.grant, "plaudit.reward.failed").await;
    until_way_is("failed").await;
    deliverer.until_problem(&["channel pay", "have failed", "--state failed"]).await;
    world.redeliver("ann", reward.grant).await;
    until_asked(&payer, 2).await;
    until_way_is("sent").await;
    world.confirm("ann", reward.grant).await;
    until_way_is("delivered").await;
    deliverer.stop().await;
    assert_eq!(states(&world).await, ["delivered"]);
    assert_eq!(payer.grants(), vec![reward.grant.to_string(); 2]);
}

/// Attempts are kept up to the documented number, and a redelivery begins with short waits again.
#[tokio::test]
async fn attempts_are_kept_and_a_redelivery_counts_its_own() {
    let world = World::new().await;
    let reward = grant(&world, "one").await;
    let lane = world.lane_of("ann");
    let queued = Queued {
        lane,
        user: user_id("ann"),
        reward: reward.clone(),
        place: RewardPlace { position: 1, ordinal: 0 },
        channel: "pay".to_owned(),
        pays: true,
        retry_for: Some(Duration::from_secs(3_600)),
    };
    let mut connection = world.pool.acquire().await.unwrap();
    deliveries::queue(std::slice::from_ref(&queued), &mut connection).await.unwrap();
    for number in 0..205 {
        let noted = Noted {
            lane,
            grant: reward.grant,
            state: DeliveryState::Waiting,
            redeliveries: 0,
            wait: Duration::ZERO,
            acknowledged_within: Duration::ZERO,
            attempt: Attempt {
                at: jiff::Timestamp::from_second(number).unwrap(),
                duration_ms: 1,
                status: Some(503),
                error: Some("the endpoint answered 503".to_owned()),
                answer: Some("not today".to_owned()),
            },
        };
        deliveries::note("pay", &[noted], &mut connection).await.unwrap();
    }
    let way = ways_of(&world, reward.grant).await.remove(0);
    assert_eq!((way.attempts, way.attempted.len()), (205, 200));
    let numbers: Vec<i64> = way.attempted.iter().map(|attempt| attempt.at.as_second()).collect();
    assert_eq!(numbers, (5..205).collect::<Vec<i64>>());
    let with_answers = way.attempted.iter().filter(|attempt| attempt.answer.is_some());
    assert_eq!(with_answers.map(|attempt| attempt.at.as_second()).min(), Some(185));
    let listed = entries(&world).await.remove(0).deliveries.remove(0);
    assert_eq!(listed.attempted, way.attempted[180..], "a list shows the last ones");

    let due = deliveries::next_due("pay", &[lane], 9, &mut connection).await.unwrap();
    assert_eq!(due[0].attempts, 205);
    let again = QueuedAgain { queued, keeps_payer: true, was_sent: true };
    deliveries::queue_again(&[again], &mut connection).await.unwrap();
    let due = deliveries::next_due("pay", &[lane], 9, &mut connection).await.unwrap();
    assert_eq!(due[0].attempts, 0);
    assert_eq!(ways_of(&world, reward.grant).await[0].attempts, 205);
}
