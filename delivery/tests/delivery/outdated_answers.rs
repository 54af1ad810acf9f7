//! Answers to messages that were sent before a redelivery was requested. They change nothing about
//! the new delivery.

use std::time::Duration;

use plaudit_domain::user_tasks::Reward;
use plaudit_event_store::deliveries::{self, Queued, QueuedAgain};
use plaudit_event_store::rewards::RewardPlace;
use serde_json::json;

use crate::payer::{Answer, Payer};
use crate::redeliveries::{until_asked, way, ways, ways_of};
use crate::revocations::grant;
use crate::webhooks::{everything, states, until_states, webhook};
use crate::world::{World, eventually, user_id};

/// Makes every write of an attempt to the table of deliveries fail.
async fn refuse_attempts(world: &World) {
    let sql = "create function refuse_attempt() returns trigger language plpgsql as
                   $$ begin raise exception 'the row is damaged'; end $$;
               create trigger refuse_attempts before update on deliveries for each row
                   when (new.attempts > old.attempts) execute function refuse_attempt()";
    sqlx::raw_sql(sql).execute(&world.pool).await.unwrap();
}

async fn accept_attempts(world: &World) {
    let sql = "drop trigger refuse_attempts on deliveries";
    sqlx::raw_sql(sql).execute(&world.pool).await.unwrap();
}

/// Waits until the redelivery of the only grant is queued.
async fn until_queued_again(world: &World) {
    eventually("the redelivery is queued", async || {
        let sql = "select redeliveries from deliveries where channel = 'pay'";
        let count: i32 = sqlx::query_scalar(sql).fetch_one(&world.pool).await.unwrap();
        (count == 1).then_some(())
    })
    .await;
}

/// Waits until the payer has given these answers, in order, and the delivery has ended.
async fn until_answered(world: &World, reward: &Reward, statuses: &[u16]) {
    eventually(&format!("{statuses:?} are noted"), async || {
        let way = ways_of(world, reward.grant).await.remove(0);
        let answered: Vec<u16> =
            way.attempted.iter().filter_map(|attempt| attempt.status).collect();
        (answered == statuses && way.state == "delivered").then_some(())
    })
    .await;
}

/// The refusal is in the history, but can't be stored in the table before the operator requests the
/// redelivery.
#[tokio::test]
async fn rule_16_a_refusal_that_is_noted_late_does_not_end_a_redelivery() {
    let world = World::new().await;
    let payer = Payer::start(|before| if before == 0 { Answer::Status(422) } else { Answer::Paid });
    let payer = payer.await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    refuse_attempts(&world).await;
    let reward = grant(&world, "one").await;
    until_states(&world, &["failed"]).await;
    world.redeliver("ann", reward.grant).await;
    until_queued_again(&world).await;
    accept_attempts(&world).await;
    until_states(&world, &["delivered"]).await;
    until_answered(&world, &reward, &[422, 204]).await;
    deliverer.stop().await;
    let events = world.events_of("ann").await;
    assert_eq!(events.iter().filter(|event| *event == "reward_failed").count(), 1, "{events:?}");
}

/// The payer forgot the reward after confirming it: the confirmation must not count for the next
/// message.
#[tokio::test]
async fn rule_16_a_confirmation_that_is_noted_late_does_not_end_a_redelivery() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Paid).await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    refuse_attempts(&world).await;
    let reward = grant(&world, "one").await;
    until_states(&world, &["delivered"]).await;
    world.redeliver_delivered("ann", reward.grant).await;
    until_queued_again(&world).await;
    accept_attempts(&world).await;
    until_asked(&payer, 2).await;
    until_answered(&world, &reward, &[204, 204]).await;
    deliverer.stop().await;
    assert_eq!(states(&world).await, ["delivered"]);
}

/// The old payer refuses a reward that another channel has taken over: the new payer decides.
#[tokio::test]
async fn rule_16_a_refusal_by_a_channel_that_was_replaced_does_not_fail_the_reward() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Late(422, Duration::from_secs(4))).await;
    let deliverer =
        world.deliver_through(&json!([webhook("old", &payer.url, &everything(), &json!({}))]));
    let reward = grant(&world, "one").await;
    until_asked(&payer, 1).await;
    // Queued as a process with other settings would.
    let queued = Queued {
        lane: world.lane_of("ann"),
        user: user_id("ann"),
        reward: reward.clone(),
        place: RewardPlace { position: 2, ordinal: 0 },
        channel: "new".to_owned(),
        pays: true,
        retry_for: None,
    };
    let mut connection = world.pool.acquire().await.unwrap();
    let again = QueuedAgain { queued, keeps_payer: false, was_sent: true };
    deliveries::queue_again(&[again], &mut connection).await.unwrap();
    drop(connection);
    eventually("the refusal is noted", async || {
        let all = ways_of(&world, reward.grant).await;
        all.iter().any(|way| way.channel == "old" && way.attempts == 1).then_some(())
    })
    .await;
    deliverer.stop().await;
    assert!(!world.events_of("ann").await.contains(&"reward_failed".to_owned()));
    let all = [
        way("new", true, "waiting"),
        way("kafka", false, "delivered"),
        way("old", false, "replaced"),
    ];
    assert_eq!(ways(&world, reward.grant).await, all);
}
