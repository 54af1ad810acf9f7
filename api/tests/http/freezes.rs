//! Freezes granted by hand.

use plaudit_event_store::catalogue_store;
use plaudit_task_file::parse;
use serde_json::json;

use super::support::{Api, auditor, client, operator, producer, with_days_of_zone};

const FREEZES: &str = "/v1/users/u42/tasks/sign-in/freezes";

pub const SIGN_IN: &str = "
tasks:
  - id: sign-in
    kind: continuous
    every: day
    text: { en: { title: Sign in every day } }
    objective: { on: user.signed_in }
    streak: { freezes: { initial: 1, max: 3 } }
    milestones: [ { at: 7, rewards: [ { line: d7, kind: currency, code: coin, amount: 70 } ] } ]
";

async fn with_a_streak() -> Api {
    let api = Api::start().await;
    catalogue_store::publish(&api.pool, &parse(&with_days_of_zone(SIGN_IN)).unwrap(), "test")
        .await
        .unwrap();
    api
}

#[tokio::test]
async fn rule_24_a_grant_by_hand_says_who_and_why_and_what_was_dropped() {
    let api = with_a_streak().await;
    let asked = json!({"count": 5, "reason": "an outage"});
    let answer = api.post(&operator(), FREEZES, &asked, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut fields: Vec<_> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["dropped", "freezes", "granted", "granted_at", "position", "task", "user"]);
    let count = |name: &str| answer.body[name].as_i64().unwrap();
    assert_eq!((count("granted"), count("dropped"), count("freezes")), (2, 3, 3));
    assert_eq!(answer.header("plaudit-position"), answer.body["position"].as_str().unwrap());
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks/sign-in").await;
    assert_eq!(shown.body["streak"]["freezes"], 3, "{}", shown.text);
    let history = api.get(&auditor(), "/v1/audit/users/u42/history").await;
    let events = history.body["events"].as_array().unwrap();
    let granted = events.iter().find(|event| event["type"] == "freezes_granted").unwrap();
    let (by, why) = (&granted["payload"]["by"], &granted["payload"]["reason"]);
    assert_eq!((by, why), (&json!("ops"), &json!("an outage")), "{granted}");
}

#[tokio::test]
async fn a_request_that_is_repeated_under_its_key_grants_nothing_more() {
    let api = with_a_streak().await;
    let (one, key) = (json!({"count": 1}), [("idempotency-key", "k1")]);
    let first = api.post(&operator(), FREEZES, &one, &key).await;
    let again = api.post(&operator(), FREEZES, &one, &key).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let other = api.post(&operator(), FREEZES, &one, &[("idempotency-key", "k2")]).await;
    assert_eq!((&first.body["freezes"], &other.body["freezes"]), (&json!(2), &json!(3)));
    let twice = [("idempotency-key", "k1"), ("idempotency-key", "k2")];
    api.post(&operator(), FREEZES, &one, &twice).await.is_problem(400, "bad-input");
}

#[tokio::test]
async fn a_producer_may_grant_and_a_client_may_not() {
    let api = with_a_streak().await;
    let one = json!({"count": 1});
    let granted = api.post(&producer(), FREEZES, &one, &[]).await;
    assert_eq!((granted.status.as_u16(), &granted.body["granted"]), (200, &json!(1)));
    api.post(&client("u42"), FREEZES, &one, &[]).await.is_problem(403, "forbidden");
    api.post(&auditor(), FREEZES, &one, &[]).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn what_can_not_be_granted_is_refused() {
    let api = with_a_streak().await;
    let one = json!({"count": 1});
    let to = |task: &str| format!("/v1/users/u42/tasks/{task}/freezes");
    api.post(&producer(), &to("none"), &one, &[]).await.is_problem(404, "unknown-task");
    api.post(&producer(), &to("daily-gifts"), &one, &[]).await.is_problem(409, "no-streak");
    api.post(&producer(), FREEZES, &json!({"count": 0}), &[]).await.is_problem(400, "bad-input");
    api.post(&producer(), &to("none"), &json!({"count": 0}), &[])
        .await
        .is_problem(404, "unknown-task");
}
