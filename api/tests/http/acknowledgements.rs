//! Payers' acknowledgements of rewards, sent as actions.

use plaudit_audit::{Deadlines, DifferenceKind, Reconciliation};
use serde_json::{Value, json};

use super::support::{Api, action, auditor, client, operator, producer};

/// Lets `user` claim the reward of `first-team`, and returns its grant.
async fn claimed(api: &Api, user: &str) -> String {
    api.act(user, "team.formed", "t1", json!({})).await;
    let path = format!("/v1/users/{user}/tasks/first-team/claim");
    let receipt = api.post(&client(user), &path, &json!(null), &[]).await;
    assert_eq!(receipt.status, 200, "{}", receipt.text);
    receipt.body["rewards"][0]["grant"].as_str().unwrap().to_owned()
}

async fn say(api: &Api, user: &str, kind: &str, id: &str, data: Value) {
    api.act(user, &format!("plaudit.reward.{kind}"), id, data).await;
}

/// Returns the state of the only reward; list and screen must agree.
async fn state_of(api: &Api, user: &str) -> Value {
    let rewards = api.get(&operator(), &format!("/v1/users/{user}/rewards")).await;
    let listed = rewards.body["rewards"][0]["state"].clone();
    let task = api.get(&operator(), &format!("/v1/users/{user}/tasks/first-team")).await;
    assert_eq!(task.body["milestones"][0]["rewards"][0]["state"], listed, "{}", task.text);
    listed
}

async fn events_of(api: &Api, user: &str) -> Vec<Value> {
    let history = api.get(&auditor(), &format!("/v1/audit/users/{user}/history")).await;
    history.body["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn rule_16_a_payer_acknowledges_by_an_action_and_delivered_is_final() {
    let api = Api::start().await;
    let grant = claimed(&api, "u42").await;
    assert_eq!(state_of(&api, "u42").await, "claimed");
    say(&api, "u42", "delivered", "a1", json!({"grant": grant})).await;
    assert_eq!(state_of(&api, "u42").await, "delivered");
    let delivered = api.get(&client("u42"), "/v1/users/u42/rewards?state=delivered").await;
    assert_eq!(delivered.body["rewards"][0]["grant"], grant);

    // The same action again, a second one with the same statement, and one that contradicts it.
    let events = events_of(&api, "u42").await.len();
    let twice = action("u42", "plaudit.reward.delivered", "a1", json!({"grant": grant}));
    let answer = api.post(&producer(), "/v1/actions", &twice, &[]).await;
    assert_eq!(answer.body["outcomes"][0]["outcome"], "duplicate");
    assert_eq!(events_of(&api, "u42").await.len(), events);
    say(&api, "u42", "delivered", "a2", json!({"grant": grant})).await;
    say(&api, "u42", "failed", "a3", json!({"grant": grant, "reason": "no"})).await;
    assert_eq!(state_of(&api, "u42").await, "delivered");
    let events = events_of(&api, "u42").await;
    let ignored: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "acknowledgement_ignored").collect();
    assert_eq!(ignored.len(), 2, "{events:?}");
    assert_eq!(ignored[1]["payload"]["reason"], "the reward was delivered, which is final");
    assert_eq!(ignored[1]["cause"]["action"]["id"], "a3");
}

#[tokio::test]
async fn rule_16_a_payer_says_that_it_failed_and_is_believed_when_it_pays_later() {
    let api = Api::start().await;
    let grant = claimed(&api, "u42").await;
    say(&api, "u42", "failed", "a1", json!({"grant": grant, "reason": "account closed"})).await;
    assert_eq!(state_of(&api, "u42").await, "failed");
    let failed = events_of(&api, "u42").await.pop().unwrap();
    assert_eq!((&failed["type"], &failed["task"]), (&json!("reward_failed"), &json!("first-team")));
    assert_eq!(failed["payload"]["reason"], "account closed");
    say(&api, "u42", "delivered", "a2", json!({"grant": grant})).await;
    assert_eq!(state_of(&api, "u42").await, "delivered");
}

#[tokio::test]
async fn rule_21_an_acknowledgement_of_an_unknown_grant_is_recorded() {
    let api = Api::start().await;
    let grant = claimed(&api, "u42").await;
    // Another user's grant, an unknown grant, and no grant.
    say(&api, "u43", "delivered", "a1", json!({"grant": grant})).await;
    say(&api, "u43", "delivered", "a2", json!({"grant": "coins"})).await;
    say(&api, "u43", "failed", "a3", json!({})).await;
    let events = events_of(&api, "u43").await;
    assert_eq!(events.len(), 3);
    assert!(events.iter().all(|event| event["type"] == "acknowledgement_ignored"), "{events:?}");
    assert_eq!(state_of(&api, "u42").await, "claimed");
}

/// The span of the late confirmation has no other event of the grant, as on the day after a
/// revocation.
#[tokio::test]
async fn a_revoked_grant_that_is_reported_as_paid_is_in_the_report_of_that_time() {
    let api = Api::start().await;
    let (grant, other) = (claimed(&api, "u42").await, claimed(&api, "u43").await);
    for grant in [&grant, &other] {
        let path = format!("/v1/grants/{grant}/revoke");
        let revoked = api.post(&operator(), &path, &json!({"reason": "a test"}), &[]).await;
        assert_eq!(revoked.status, 200, "{}", revoked.text);
    }
    let now = async || {
        let sql = "select to_char(clock_timestamp() at time zone 'UTC',
                                  'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
        let now: String = sqlx::query_scalar(sql).fetch_one(&api.pool).await.unwrap();
        now.parse::<jiff::Timestamp>().unwrap()
    };
    let report = async |span| {
        let deadlines = Deadlines::default();
        let report = Reconciliation::read(&api.pool, span, None, &deadlines).await.unwrap();
        report.differences.iter().map(|d| (d.kind, d.grant.to_string())).collect::<Vec<_>>()
    };
    let revoked_by = now().await;
    say(&api, "u42", "delivered", "a1", json!({"grant": grant})).await;
    // A report about the grant of another user says nothing about it.
    say(&api, "u42", "delivered", "a2", json!({"grant": other})).await;
    let end = now().await;
    let paid = [(DifferenceKind::PaidRevoked, grant)];
    assert_eq!(report((revoked_by, end)).await, paid);
    assert_eq!(report((jiff::Timestamp::UNIX_EPOCH, revoked_by)).await, paid);
    assert_eq!(report((end, now().await)).await, vec![]);
}

/// Both are in one batch, and the second is decided after the first.
#[tokio::test]
async fn acknowledgements_of_one_request_are_decided_in_order() {
    let api = Api::start().await;
    let grant = claimed(&api, "u42").await;
    let said = |kind: &str, id: &str| {
        action("u42", &format!("plaudit.reward.{kind}"), id, json!({"grant": grant}))
    };
    let both = json!([said("delivered", "a1"), said("failed", "a2")]);
    let answer = api.post(&producer(), "/v1/actions", &both, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(state_of(&api, "u42").await, "delivered");
    assert_eq!(events_of(&api, "u42").await.pop().unwrap()["type"], "acknowledgement_ignored");
}
