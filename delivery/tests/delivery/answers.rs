//! Answers of endpoints, and the ways in which payers confirm.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use plaudit_event_store::deliveries::Attempt;
use serde_json::{Value, json};

use crate::payer::{Answer, Payer};
use crate::webhooks::{entries, everything, first_attempt, until_states, webhook};
use crate::world::{World, eventually};

/// A world in which one reward is due to a payer behind a webhook with these settings.
async fn one_due(payer: &Payer, more: &Value) -> (World, Value) {
    let world = World::new().await;
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    (world, json!([webhook("pay", &payer.url, &everything(), more)]))
}

/// The attempts to deliver the only grant to its payer.
async fn attempts(world: &World) -> Vec<Attempt> {
    let entry = entries(world).await.remove(0);
    entry.deliveries.into_iter().find(|d| d.pays).unwrap().attempted
}

#[tokio::test]
async fn retry_after_holds_for_a_message_and_for_an_endpoint_that_fails() {
    let payer = Payer::start(|before| match before {
        0 => Answer::Later(400, "3"),
        1 => Answer::Later(500, "3"),
        _ => Answer::Paid,
    })
    .await;
    let (world, channels) = one_due(&payer, &json!({})).await;
    let deliverer = world.deliver_through(&channels);
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    let attempts = attempts(&world).await;
    let statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(400), Some(500), Some(204)]);
    for pair in attempts.windows(2) {
        let waited = pair[1].at.duration_since(pair[0].at);
        assert!(waited.as_millis() >= 3_000, "{waited:?}");
    }
}

#[tokio::test]
async fn an_attempt_ends_at_its_timeout() {
    let payer = Payer::start(|_| Answer::Slowly(Duration::from_secs(50))).await;
    let (world, channels) = one_due(&payer, &json!({"timeout": "PT2S"})).await;
    let deliverer = world.deliver_through(&channels);
    let attempt = first_attempt(&world).await;
    deliverer.stop().await;
    assert_eq!((attempt.status, attempt.error.as_deref()), (None, Some("no answer in time")));
    assert!((2_000..40_000).contains(&attempt.duration_ms), "{attempt:?}");
}

#[tokio::test]
async fn a_webhook_without_acknowledgement_has_delivered_what_it_accepted() {
    let payer = Payer::start(|_| Answer::Paid).await;
    let (world, channels) = one_due(&payer, &json!({"ack": "none"})).await;
    let deliverer = world.deliver_through(&channels);
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    assert_eq!(payer.messages().len(), 1);
}

#[tokio::test]
async fn a_webhook_whose_payer_confirms_by_actions_waits_for_one() {
    let payer = Payer::start(|_| Answer::Paid).await;
    let (world, channels) = one_due(&payer, &json!({"ack": "action"})).await;
    let deliverer = world.deliver_through(&channels);
    let sent = eventually("it is sent", async || {
        let entry = entries(&world).await.pop()?;
        let way = entry.deliveries.iter().find(|way| way.pays)?;
        (way.state == "sent").then_some(entry)
    })
    .await;
    assert_eq!(sent.row.state.as_str(), "delivering");
    world.confirm("ann", sent.row.reward.grant).await;
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
}

#[tokio::test]
async fn rewards_that_wait_for_a_removed_channel_are_named_and_go_by_another_one() {
    let payer = Payer::start(|_| Answer::Paid).await;
    let (world, channels) = one_due(&payer, &json!({})).await;
    let mut old = channels.clone();
    old[0]["name"] = json!("old");
    old[0]["url"] = json!("http://127.0.0.1:9/hook");
    let deliverer = world.deliver_through(&old);
    first_attempt(&world).await;
    deliverer.stop().await;
    let deliverer = world.deliver_through(&channels);
    deliverer.until_problem(&["rewards wait for the channel old", "not configured"]).await;
    let grant = entries(&world).await[0].row.reward.grant;
    world.redeliver_to_new_payer("ann", grant).await;
    until_states(&world, &["delivered"]).await;
    deliverer.stop().await;
    assert_eq!(payer.grants(), [grant.to_string()]);
}

/// All tasks of this test run on its own thread, so the recorder of that thread sees them.
#[tokio::test]
async fn attempts_and_backlogs_are_counted_by_channel() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let payer = Payer::start(|before| match before {
        0 => Answer::Status(400),
        1 => Answer::Status(503),
        _ => Answer::Status(422),
    })
    .await;
    let (world, channels) = one_due(&payer, &json!({})).await;
    let deliverer = world.deliver_through(&channels);
    until_states(&world, &["failed"]).await;
    let expected = [
        "plaudit_delivery_attempts_total{channel=\"pay\",result=\"rejected\"} 1",
        "plaudit_delivery_attempts_total{channel=\"pay\",result=\"unavailable\"} 1",
        "plaudit_delivery_attempts_total{channel=\"pay\",result=\"refused\"} 1",
        "plaudit_delivery_failed{channel=\"pay\"} 1",
        "plaudit_delivery_backlog{channel=\"pay\"} 0",
        "plaudit_delivery_unacknowledged{channel=\"pay\"} 0",
        "plaudit_delivery_oldest_seconds{channel=\"pay\"} 0",
    ];
    eventually("the numbers are shown", async || {
        let shown = recorder.handle().render();
        expected.iter().all(|line| shown.lines().any(|shown| shown == *line)).then_some(())
    })
    .await;
    deliverer.stop().await;
}
