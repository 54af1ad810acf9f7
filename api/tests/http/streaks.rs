//! Amnesties: time spans over which no streak breaks.

use jiff::{Timestamp, ToSpan as _};
use plaudit_event_store::catalogue_store;
use plaudit_task_file::parse;
use serde_json::{Value, json};

use super::support::{Api, action, auditor, client, operator, producer, with_days_of_zone};

const AMNESTIES: &str = "/v1/streaks/amnesties";

const SIGN_IN: &str = "
tasks:
  - id: sign-in
    kind: continuous
    every: day
    objective: { on: user.signed_in }
    milestones: [ { at: 7, rewards: [ { line: d7, kind: currency, code: coin, amount: 70 } ] } ]
";

async fn with_a_streak() -> Api {
    let api = Api::start().await;
    catalogue_store::publish(&api.pool, &parse(&with_days_of_zone(SIGN_IN)).unwrap(), "test")
        .await
        .unwrap();
    api
}

fn days_ago(days: i64) -> String {
    (Timestamp::now() - (24 * days).hours()).to_string()
}

#[tokio::test]
async fn a_streak_goes_on_after_an_amnesty() {
    let api = with_a_streak().await;
    for days in [3, 2] {
        let mut signed_in = action("u42", "user.signed_in", &days.to_string(), json!({}));
        signed_in["time"] = days_ago(days).into();
        api.post(&producer(), "/v1/actions", &signed_in, &[]).await;
    }
    let current = async || {
        let screen = api.get(&client("u42"), "/v1/users/u42/tasks/sign-in").await;
        screen.body["streak"]["current"].as_i64().unwrap()
    };
    assert_eq!(current().await, 0, "yesterday was missed");
    let asked = json!({"from": days_ago(1), "until": days_ago(0), "reason": "an outage", "tasks": ["sign-in"]});
    let answer = api.post(&operator(), AMNESTIES, &asked, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&answer.body["by"], &answer.body["tasks"]), (&json!("ops"), &json!(["sign-in"])));
    assert_eq!(current().await, 2);
    api.act("u42", "user.signed_in", "now", json!({})).await;
    assert_eq!(current().await, 3);
    let listed = api.get(&auditor(), AMNESTIES).await;
    assert_eq!(listed.body["amnesties"], Value::Array(vec![answer.body]));
    let changes = api.get(&auditor(), "/v1/tasks/sign-in/versions").await;
    assert_eq!(changes.body["changes"][1]["change"], "amnesty", "{}", changes.text);
}

#[tokio::test]
async fn an_amnesty_is_for_operators_and_has_a_reason() {
    let api = with_a_streak().await;
    let asked = json!({"from": days_ago(1), "until": days_ago(0), "reason": "an outage"});
    for token in [client("u42"), producer(), auditor()] {
        api.post(&token, AMNESTIES, &asked, &[]).await.is_problem(403, "forbidden");
    }
    api.get(&producer(), AMNESTIES).await.is_problem(403, "forbidden");
    for (name, value, pointer) in [
        ("reason", json!(""), "/reason"),
        ("until", json!(days_ago(2)), "/until"),
        ("tasks", json!(["sign-in", "none"]), "/tasks/1"),
        ("tasks", json!(["daily-gifts"]), "/tasks/0"),
        ("tasks", json!([]), "/tasks"),
    ] {
        let mut bad = asked.clone();
        bad[name] = value;
        let refused = api.post(&operator(), AMNESTIES, &bad, &[]).await;
        refused.is_problem(400, "bad-input");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.text);
    }
    let refused = api.post(&operator(), AMNESTIES, &json!([]), &[]).await;
    refused.is_problem(400, "bad-input");
    assert_eq!(refused.body["errors"][0]["pointer"], "", "{}", refused.text);
    assert_eq!(api.get(&operator(), AMNESTIES).await.body["amnesties"], json!([]));
}
