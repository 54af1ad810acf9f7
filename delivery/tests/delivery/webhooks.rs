//! Webhooks: the messages to payers, and the consequences of their answers.

use std::time::{Duration, Instant};

use plaudit_embedded::waiting::within;
use plaudit_event_store::deliveries::{self, Attempt, GrantEntry};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::payer::{Answer, Payer, SECRET};
use crate::world::{WAIT_MAX, World, eventually};

/// A webhook to `url` for these grants.
pub fn webhook(name: &str, url: &str, grants: &Value, more: &Value) -> Value {
    let mut channel = json!({"name": name, "type": "webhook", "url": url, "secrets": [SECRET],
        "grants": grants, "allow_private": true});
    channel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    channel
}

pub fn everything() -> Value {
    json!([{"kind": "*"}])
}

pub async fn entries(world: &World) -> Vec<GrantEntry> {
    let filter = deliveries::Filter { limit: 1_000, ..deliveries::Filter::default() };
    deliveries::list(&world.pool, &filter).await.unwrap().unwrap().grants
}

/// The first attempt to deliver the only grant, once it was made.
pub async fn first_attempt(world: &World) -> Attempt {
    eventually("an attempt was made", async || {
        let entry = entries(world).await.pop()?;
        entry.deliveries.first()?.attempted.first().cloned()
    })
    .await
}

/// The states of all grants, sorted.
pub async fn states(world: &World) -> Vec<String> {
    let mut states: Vec<String> =
        entries(world).await.iter().map(|entry| entry.row.state.as_str().to_owned()).collect();
    states.sort();
    states
}

/// Waits until all grants have these states. On a timeout the grants are printed.
pub async fn until_states(world: &World, expected: &[&str]) {
    let reached = async || (states(world).await == expected).then_some(());
    let is_reached = within(WAIT_MAX, reached).await.is_some();
    let found = if is_reached { vec![] } else { entries(world).await };
    assert!(is_reached, "not within {WAIT_MAX:?}: the grants are {expected:?}, but {found:#?}");
}

/// The attempts to deliver the first grant to its payer.
async fn attempts(world: &World) -> Vec<Attempt> {
    let entry = entries(world).await.remove(0);
    entry.deliveries.into_iter().find(|d| d.pays).unwrap().attempted
}

#[tokio::test]
async fn rule_16_a_webhook_is_signed_and_its_2xx_confirms() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Paid).await;
    let coins = json!([{"kind": "currency"}]);
    let channels = json!([webhook("coins", &payer.url, &coins, &json!({}))]);
    let deliverer = world.deliver_through(&channels);
    world.gifts(&["ann"], 1).await;
    // The badge goes by the topic, which waits for an action.
    until_states(&world, &["delivered", "delivering"]).await;
    let published = world.until_published(2).await;
    deliverer.stop().await;
    let messages = payer.messages();
    assert_eq!(messages.len(), 1);
    let (id, body) = &messages[0];
    let coins = published.iter().find(|record| record.id().to_string() == *id).unwrap();
    let mut copy = coins.event.clone();
    let is_copy = copy.as_object_mut().unwrap().remove("plauditcopy");
    assert_eq!(is_copy, Some(json!(true)), "a consumer of the topic must not pay it");
    assert_eq!(*body, copy, "the topic gets the same record");
    let badge = published.iter().find(|record| record.id() != coins.id()).unwrap();
    assert!(badge.event.get("plauditcopy").is_none(), "the topic leads to its payer: {badge:?}");
    assert_eq!(payer.refused(), 0);
    let events = world.events_of("ann").await;
    let mut of_delivery: Vec<&str> =
        events.iter().map(String::as_str).filter(|e| e.contains("deliver")).collect();
    assert_eq!(of_delivery[0], "delivery_started");
    // The two channels wait for nobody, so either may begin before the other has ended.
    of_delivery.sort_unstable();
    assert_eq!(of_delivery, ["delivery_started", "delivery_started", "reward_delivered"]);
}

#[tokio::test]
async fn rule_16_a_failing_payer_is_asked_again_and_every_attempt_is_kept() {
    let world = World::new().await;
    let payer = Payer::start(|before| match before {
        0 => Answer::Status(500),
        1 => Answer::Status(400),
        _ => Answer::Paid,
    })
    .await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    let attempts = attempts(&world).await;
    let statuses: Vec<_> = attempts.iter().map(|a| a.status).collect();
    assert_eq!(statuses, [Some(500), Some(400), Some(204)]);
    assert_eq!(attempts[0].answer.as_deref(), Some("not today"));
    assert!(attempts[0].error.as_deref().unwrap().contains("answered 500"));
    let ids: Vec<String> = payer.messages().into_iter().map(|(id, _)| id).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn a_payer_that_refuses_for_good_is_believed_and_asked_again_by_an_operator_only() {
    let world = World::new().await;
    let payer = Payer::start(|before| if before == 0 { Answer::Status(422) } else { Answer::Paid });
    let payer = payer.await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    until_states(&world, &["failed"]).await;
    let grant = entries(&world).await[0].row.reward.grant;
    world.redeliver("ann", grant).await;
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    assert_eq!(payer.messages().len(), 2);
    assert!(world.events_of("ann").await.contains(&"redelivery_requested".to_owned()));
}

#[tokio::test]
async fn retry_after_is_honoured_and_a_redirect_is_not_followed() {
    let world = World::new().await;
    let payer = Payer::start(|before| match before {
        0 => Answer::Later(503, "3"),
        1 => Answer::Redirect("/elsewhere".to_owned()),
        _ => Answer::Paid,
    })
    .await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    let attempts = attempts(&world).await;
    let waited = attempts[1].at.duration_since(attempts[0].at);
    assert!(waited.as_millis() >= 3_000, "{waited:?}");
    assert!(attempts[1].error.as_deref().unwrap().contains("redirects are not followed"));
}

#[tokio::test]
async fn an_endpoint_in_a_private_network_is_refused_also_by_name() {
    let world = World::new().await;
    // Validation checks addresses; a name is checked when it is resolved.
    let channels = json!([{"name": "pay", "type": "webhook", "url": "https://localhost:9/hook",
        "secrets": [SECRET]}]);
    let deliverer = world.deliver_through(&channels);
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    let attempt = first_attempt(&world).await;
    deliverer.stop().await;
    let error = attempt.error.unwrap();
    assert!(error.contains("localhost leads to") && error.contains("of this machine"), "{error}");
}

/// One endpoint is dead, one is slow: neither delays the topic, the third endpoint or a user.
#[tokio::test]
async fn rule_23_a_dead_endpoint_delays_no_other_channel() {
    let world = World::new().await;
    let slow = Payer::start(|_| Answer::Slowly(Duration::from_secs(3))).await;
    let good = Payer::start(|_| Answer::Paid).await;
    let dead = "http://127.0.0.1:9/hook";
    let channels = json!([
        webhook("dead", dead, &json!([{"code": "coin"}]), &json!({})),
        webhook("slow", &slow.url, &json!([{"code": "heart"}]), &json!({"concurrency": 1})),
        webhook("good", &good.url, &json!([{"code": "gold"}]), &json!({})),
    ]);
    let users: Vec<String> = (0..20).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let deliverer = world.deliver_through(&channels);
    world.gifts(&users, 1).await;
    world.act(&users, "team.formed", 7).await;
    let began = Instant::now();
    for user in &users {
        world.claim(user, "team").await;
    }
    eventually("the good payer has paid all", async || {
        (good.paid().len() == users.len()).then_some(())
    })
    .await;
    // The slow payer needs a minute for all its messages.
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    world.until_published(60).await;
    deliverer.until_problem(&["dead", "makes no progress"]).await;
    assert_eq!(deliverer.delivery.health().ready(), Ok(()));
    deliverer.stop().await;
}

/// A small crash loop: a payer fails, answers late, or pays and says that it did not, while the
/// delivering process comes and goes. Everything is paid once, and nothing else is.
#[tokio::test]
async fn rule_14_everything_is_paid_once_whoever_fails() {
    let world = World::new().await;
    let payer = Payer::failing_at_most(2, |before| match before % 7 {
        0 => Answer::Status(500),
        1 => Answer::Slowly(Duration::from_secs(3)),
        2 => Answer::PaidButFailed,
        _ => Answer::Paid,
    })
    .await;
    let quick = json!({"timeout": "PT1S"});
    let channels = json!([webhook("pay", &payer.url, &everything(), &quick)]);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let users: Vec<String> = (0..10).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    for number in 1..=2 {
        let deliverer = world.deliver_to_be_killed(&channels).await;
        world.gifts(&users, number).await;
        let paid = 3 * usize::try_from(number).unwrap() * usize::try_from(number).unwrap();
        eventually("some was paid", async || (payer.paid().len() >= paid).then_some(())).await;
        deliverer.kill();
    }
    let deliverer = world.deliver_through(&channels);
    let expected = vec!["delivered"; 3 * users.len()];
    until_states(&world, &expected).await;
    deliverer.stop().await;
    let due: Vec<(Uuid, i64)> =
        sqlx::query_as("select grant_id, amount from reward_state order by grant_id::text")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let paid: Vec<(String, i64)> = payer.paid().into_iter().collect();
    let due: Vec<(String, i64)> = due.into_iter().map(|(id, n)| (id.to_string(), n)).collect();
    assert_eq!(paid, due);
}

#[tokio::test]
async fn what_is_not_confirmed_in_time_has_failed_and_a_late_confirmation_counts() {
    let world = World::new().await;
    let deliverer = world.deliver_through(&json!([
        {"name": "kafka", "type": "kafka", "ack_within": "PT2S"}
    ]));
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    until_states(&world, &["failed"]).await;
    let entry = entries(&world).await.remove(0);
    let reason = entry.deliveries[0].reason.clone().unwrap();
    assert!(reason.contains("did not confirm in time"), "{reason}");
    world.confirm("ann", entry.row.reward.grant).await;
    until_states(&world, &["delivered"]).await;
    eventually("the table of deliveries knows it too", async || {
        (entries(&world).await[0].deliveries[0].state == "delivered").then_some(())
    })
    .await;
    deliverer.stop().await;
}

#[tokio::test]
async fn without_acknowledgement_a_reward_is_delivered_once_the_broker_has_it() {
    let world = World::new().await;
    let deliverer =
        world.deliver_through(&json!([{"name": "kafka", "type": "kafka", "ack": "none"}]));
    world.gifts(&["ann"], 1).await;
    until_states(&world, &["delivered", "delivered"]).await;
    deliverer.stop().await;
    let events = world.events_of("ann").await;
    assert_eq!(events.iter().filter(|event| *event == "reward_delivered").count(), 2);
}
