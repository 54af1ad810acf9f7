//! Limits of an endpoint: messages at once and per second, and none while it is down.

use std::time::Duration;

use plaudit_delivery::webhook::{Client, Reply, Secret};
use serde_json::{Value, json};

use crate::payer::{Answer, Payer, SECRET};
use crate::webhooks::{everything, first_attempt, until_states, webhook};
use crate::world::{Deliverer, World, eventually};

/// A secret that the payers of these tests don't know.
const NEW_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// Users, who earn two rewards each.
const USERS: [&str; 4] = ["ann", "ben", "cid", "dan"];

/// Has the payer pay all rewards of the users, and waits for that.
async fn pay_all(payer: &Payer, more: &Value) {
    let world = World::new().await;
    world.gifts(&USERS, 1).await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), more)]));
    until_states(&world, &["delivered"; 2 * USERS.len()]).await;
    deliverer.stop().await;
    assert_eq!(payer.paid().len(), 2 * USERS.len());
}

#[tokio::test]
async fn no_more_messages_are_on_their_way_at_once_than_the_channel_says() {
    let payer = Payer::start(|_| Answer::Slowly(Duration::from_millis(400))).await;
    pay_all(&payer, &json!({"concurrency": 2})).await;
    assert_eq!(payer.waiting_max(), 2);
}

/// Starts two processes, and waits until each counts the other.
async fn two_that_share(world: &World, channels: &Value) -> [Deliverer; 2] {
    let both = [world.deliver_through(channels), world.deliver_through(channels)];
    eventually("the two share the lanes", async || {
        let sql =
            "select count(*) from follower_leases where follower = 'delivery' group by member";
        let shares: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&world.pool).await.unwrap();
        (shares == [8, 8]).then_some(())
    })
    .await;
    // A process counts the others when it renews its membership.
    let span = async || -> (f64, f64) {
        let sql = "select extract(epoch from min(expires_at))::float8, extract(epoch from max(expires_at))::float8
                   from follower_members where follower = 'delivery'";
        sqlx::query_as(sql).fetch_one(&world.pool).await.unwrap()
    };
    let (_, newest) = span().await;
    eventually("both have renewed", async || (span().await.0 > newest).then_some(())).await;
    both
}

#[tokio::test]
async fn two_processes_together_have_no_more_messages_on_their_way_than_the_channel_says() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Slowly(Duration::from_millis(400))).await;
    let channels = json!([webhook("pay", &payer.url, &everything(), &json!({"concurrency": 4}))]);
    let [first, second] = two_that_share(&world, &channels).await;
    let users: Vec<String> = (0..16).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    world.gifts(&users, 1).await;
    until_states(&world, &["delivered"; 32]).await;
    first.stop().await;
    second.stop().await;
    assert!(payer.waiting_max() <= 4, "{}", payer.waiting_max());
}

#[tokio::test]
async fn no_more_messages_are_begun_per_second_than_the_channel_says() {
    let payer = Payer::start(|_| Answer::Paid).await;
    pay_all(&payer, &json!({"rate_per_second": 2})).await;
    let arrivals = payer.arrivals();
    let lasted = arrivals[arrivals.len() - 1].duration_since(arrivals[0]);
    // Seven pauses of half a second; the first message may have been late by as much as a
    // connection takes.
    assert!(lasted >= Duration::from_millis(2_500), "{lasted:?}");
}

#[tokio::test]
async fn two_processes_together_begin_no_more_messages_per_second_than_the_channel_says() {
    let world = World::new().await;
    let payer = Payer::start(|_| Answer::Paid).await;
    let limit = json!({"rate_per_second": 8});
    let channels = json!([webhook("pay", &payer.url, &everything(), &limit)]);
    let both = two_that_share(&world, &channels).await;
    let users: Vec<String> = (0..16).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    world.gifts(&users, 1).await;
    until_states(&world, &["delivered"; 32]).await;
    for deliverer in both {
        deliverer.stop().await;
    }
    let arrivals = payer.arrivals();
    let lasted = arrivals[arrivals.len() - 1].duration_since(arrivals[0]);
    // Each process begins one message at once, and the other 30 take an eighth of a second each.
    assert!(lasted >= Duration::from_millis(3_300), "{lasted:?}");
}

/// The sender stores answers and reads ahead between messages. That this costs no slots is tested
/// in `rate.rs`, without a clock.
#[tokio::test]
async fn no_more_messages_are_begun_per_second_if_many_may_be_on_their_way() {
    let world = World::new().await;
    let users: Vec<String> = (0..100).map(|n| format!("u{n}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    world.gifts(&users, 1).await;
    let payer = Payer::start(|_| Answer::Paid).await;
    let limit = json!({"rate_per_second": 50, "concurrency": 32});
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &limit)]));
    until_states(&world, &["delivered"; 200]).await;
    deliverer.stop().await;
    let arrivals = payer.arrivals();
    let lasted = arrivals[arrivals.len() - 1].duration_since(arrivals[0]);
    // 199 pauses of 20 ms make four seconds. A slow machine may need longer.
    assert!(lasted >= Duration::from_millis(3_500), "{lasted:?}");
}

#[tokio::test]
async fn an_endpoint_that_fails_is_asked_by_one_message_at_a_time_until_it_is_back() {
    let world = World::new().await;
    let payer = Payer::start(|before| if before < 9 { Answer::Status(500) } else { Answer::Paid });
    let payer = payer.await;
    world.gifts(&USERS, 1).await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    deliverer.until_problem(&["the channel pay makes no progress", "rewards wait"]).await;
    until_states(&world, &["delivered"; 2 * USERS.len()]).await;
    deliverer.until_well().await;
    deliverer.stop().await;
    // At the latest the ninth message was a test of the open circuit, which then waits two seconds.
    let arrivals = payer.arrivals();
    let waited = arrivals[9].duration_since(arrivals[8]);
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn retry_after_may_be_a_date_and_holds_for_the_whole_endpoint() {
    let payer = Payer::start(|before| match before {
        0 => Answer::LaterOn(429, Duration::from_secs(5)),
        _ => Answer::Paid,
    })
    .await;
    pay_all(&payer, &json!({"concurrency": 1})).await;
    let arrivals = payer.arrivals();
    // A date has whole seconds.
    let waited = arrivals[1].duration_since(arrivals[0]);
    assert!(waited >= Duration::from_secs(3), "{waited:?}");
}

#[tokio::test]
async fn a_payer_that_knows_one_of_two_secrets_believes_the_message() {
    let payer = Payer::start(|_| Answer::Paid).await;
    pay_all(&payer, &json!({"secrets": [NEW_SECRET, SECRET]})).await;
    assert_eq!(payer.refused(), 0);
}

#[tokio::test]
async fn a_redirect_leads_nowhere_not_even_to_a_private_address() {
    let world = World::new().await;
    let hidden = Payer::start(|_| Answer::Paid).await;
    let payer = Payer::redirecting(&hidden.url).await;
    let deliverer =
        world.deliver_through(&json!([webhook("pay", &payer.url, &everything(), &json!({}))]));
    world.act(&["ann"], "team.formed", 1).await;
    world.claim("ann", "team").await;
    let attempt = first_attempt(&world).await;
    deliverer.stop().await;
    assert_eq!(attempt.status, Some(307));
    assert!(attempt.error.unwrap().contains("redirects are not followed"));
    assert_eq!(hidden.messages().len(), 0);
}

/// Proxies of the environment would resolve names themselves, past the check of addresses. The test
/// runs itself again in an environment that names one.
/// in an environment that names one.
#[tokio::test]
async fn no_proxy_of_the_environment_is_used() {
    const NAME: &str = "limits::no_proxy_of_the_environment_is_used";
    if std::env::var_os("PLAUDIT_TEST_BEHIND_PROXY").is_none() {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME]).env("PLAUDIT_TEST_BEHIND_PROXY", "1");
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
            child.env(name, "http://127.0.0.1:9");
        }
        let output = child.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let payer = Payer::start(|_| Answer::Paid).await;
    let client = Client::new(Duration::from_secs(10), true).unwrap();
    let secrets = [Secret::parse(SECRET).unwrap()];
    let body = json!({"data": {"amount": 1}}).to_string();
    let posted = client.post(&payer.url.parse().unwrap(), &secrets, "one", body).await;
    assert_eq!(posted.reply, Reply::Accepted, "{posted:?}");
    assert_eq!(payer.messages().len(), 1);
}
