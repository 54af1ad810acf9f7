//! Every write for a user answers with a position.

use plaudit_event_store::catalogue_store;
use plaudit_task_file::parse;
use serde_json::{Value, json};

use super::freezes::SIGN_IN;
use super::parked::blocked;
use super::support::{Answer, Api, action, client, token, with_days_of_zone};

/// Checks that a write was answered with the same position in its body and its header, and returns
/// it.
#[track_caller]
fn position_of(what: &str, answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{what}: {}", answer.text);
    let in_body = match &answer.body["outcomes"] {
        Value::Array(outcomes) if what == "actions" => &outcomes[0]["position"],
        _ => &answer.body["position"],
    };
    assert_eq!(answer.header("plaudit-position"), in_body, "{what}: {}", answer.text);
    in_body.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn rule_19_every_write_of_a_user_answers_with_a_position() {
    let api = Api::start().await;
    catalogue_store::publish(&api.pool, &parse(&with_days_of_zone(SIGN_IN)).unwrap(), "test")
        .await
        .unwrap();
    let roles = ["client", "producer", "auditor", "operator"];
    let all = token(json!({"sub": "u42", "roles": roles}));
    let written = async |what: &str, path: &str, body: Value| {
        let answer = api.post(&all, path, &body, &[]).await;
        let position = position_of(what, &answer);
        let lane = format!("{}:", api.lane_of("u42").0);
        assert!(position.starts_with(&lane), "{what}: {position}");
        let read = format!("/v1/users/u42/tasks?at_least={position}");
        assert_eq!(api.get(&client("u42"), &read).await.status, 200, "{what}: {position}");
        answer.body
    };
    let gifts = action("u42", "gift.sent", "g1", json!({"coins": 150}));
    written("actions", "/v1/actions", gifts).await;
    let claimed = written("claim", "/v1/users/u42/tasks/daily-gifts/claim", Value::Null).await;
    api.act("u42", "team.formed", "t1", json!({})).await;
    written("claims", "/v1/users/u42/claims", Value::Null).await;
    let task = |verb: &str| format!("/v1/users/u42/tasks/daily-gifts/{verb}");
    let freezes = "/v1/users/u42/tasks/sign-in/freezes";
    written("freezes", freezes, json!({"count": 1, "reason": "a test"})).await;
    written("adjust", &task("adjust"), json!({"by": 5, "reason": "a test"})).await;
    written("complete", &task("complete"), json!({"reason": "a test"})).await;
    written("reset", &task("reset"), json!({"reason": "a test"})).await;

    let grant = json!({"kind": "currency", "code": "coin", "amount": 1, "reason": "a test"});
    let granted = written("grants", "/v1/users/u42/grants", grant).await;
    let of = |grant: &Value, verb: &str| format!("/v1/grants/{}/{verb}", grant.as_str().unwrap());
    let reason = json!({"reason": "a test"});
    written("revoke", &of(&granted["grant"], "revoke"), reason.clone()).await;
    let grant = &claimed["rewards"][0]["grant"];
    let failed = json!({"grant": grant, "reason": "account closed"});
    api.act("u42", "plaudit.reward.failed", "f1", failed).await;
    written("redeliver", &of(grant, "redeliver"), reason.clone()).await;

    for verb in ["release", "discard"] {
        let id = blocked(&api, verb).await;
        written(verb, &format!("/v1/parked/{id}/{verb}"), reason.clone()).await;
    }
}
