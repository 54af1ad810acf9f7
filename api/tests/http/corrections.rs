//! Corrections by operators.

use serde_json::{Value, json};

use plaudit_event_store::{Batch, Item, Origin, StartDeliveries, catalogue_store, rewards};
use plaudit_projections::verify::verify;
use plaudit_task_file::parse;

use super::support::{Api, ZONE, auditor, client, operator, producer, with_days_of_zone};

const GIFTS: &str = "/v1/users/u42/tasks/daily-gifts";

fn key(key: &str) -> [(&str, &str); 1] {
    [("idempotency-key", key)]
}

async fn last_event(api: &Api) -> Value {
    let history = api.get(&auditor(), "/v1/audit/users/u42/history").await;
    history.body["events"].as_array().unwrap().last().unwrap().clone()
}

/// Checks that the rows are those that a rebuild would write.
async fn rows_are_as_the_log_has_it(api: &Api) {
    let report = verify(&api.pool, None, |_| {}).await.unwrap();
    assert!(report.is_equal(), "{report:?}");
}

#[tokio::test]
async fn rule_24_an_operator_adjusts_progress_up_and_down_with_a_reason() {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 150})).await;
    let path = format!("{GIFTS}/adjust");
    let down = json!({"by": -80, "reason": "refunded"});
    let answer = api.post(&operator(), &path, &down, &key("k1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let numbers =
        ["credited", "progress", "target"].map(|name| answer.body[name].as_i64().unwrap());
    assert_eq!(numbers, [-80, 70, 1000]);
    let shown = api.get(&client("u42"), GIFTS).await;
    assert_eq!(shown.body["progress"], 70, "{}", shown.text);
    assert_eq!(shown.body["milestones"][0]["rewards"][0]["state"], "claimable");
    let event = last_event(&api).await;
    assert_eq!(event["type"], "progress_corrected");
    let payload = &event["payload"];
    assert_eq!((&payload["by"], &payload["reason"]), (&json!("ops"), &json!("refunded")));
    assert_eq!(event["metadata"]["command"], "adjust");

    let again = api.post(&operator(), &path, &down, &key("k1")).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &answer.body));
    let same = json!({"to": 70, "reason": "x"});
    api.post(&operator(), &path, &same, &[]).await.is_problem(409, "not-correctable");
    let complete = json!({"reason": "an outage"});
    let answer = api.post(&operator(), &format!("{GIFTS}/complete"), &complete, &[]).await;
    assert_eq!(
        (&answer.body["progress"], &answer.body["milestones"]),
        (&json!(1000), &json!([1000]))
    );
    let reset = api.post(&operator(), &format!("{GIFTS}/reset"), &complete, &[]).await;
    assert_eq!(reset.body["progress"], 0, "{}", reset.text);
    rows_are_as_the_log_has_it(&api).await;
}

#[tokio::test]
async fn what_can_not_be_corrected_is_refused_with_its_place() {
    let api = Api::start().await;
    let path = format!("{GIFTS}/adjust");
    for (body, pointer) in [
        (json!({"by": 1}), "/reason"),
        (json!({"reason": "x"}), "/by"),
        (json!({"by": 1, "to": 2, "reason": "x"}), "/by"),
        (json!({"to": -1, "reason": "x"}), "/to"),
        (json!({"to": "ten", "reason": "x"}), "/to"),
        (json!({"by": 1.5, "reason": "x"}), "/by"),
        (json!({"by": 1, "reason": "x", "force": true}), "/force"),
    ] {
        let answer = api.post(&operator(), &path, &body, &[]).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{}", answer.text);
        assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1, "{}", answer.text);
    }
    let none = "/v1/users/u42/tasks/none/adjust";
    api.post(&operator(), none, &json!({}), &[]).await.is_problem(404, "unknown-task");
    let period = json!({"by": 1, "reason": "x", "period": "2020-W01"});
    api.post(&operator(), &path, &period, &[]).await.is_problem(404, "unknown-period");
    let closed = json!({"by": 1, "reason": "x", "period": "2020-01-01"});
    api.post(&operator(), &path, &closed, &[]).await.is_problem(409, "not-correctable");
    let one = json!({"by": 1, "reason": "x"});
    for token in [client("u42"), producer(), auditor()] {
        api.post(&token, &path, &one, &[]).await.is_problem(403, "forbidden");
        api.post(&token, "/v1/users/u42/grants", &one, &[]).await.is_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn rule_14_a_grant_by_hand_is_made_once_and_can_be_revoked_before_it_is_sent() {
    let api = Api::start().await;
    let path = "/v1/users/u42/grants";
    let asked = json!({"kind": "currency", "code": "coin", "amount": 50, "reason": "an outage"});
    let answer = api.post(&operator(), path, &asked, &key("case-7")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(
        (&answer.body["line"], &answer.body["state"]),
        (&json!("case-7"), &json!("claimed"))
    );
    let again = api.post(&operator(), path, &asked, &key("case-7")).await;
    assert_eq!(again.body, answer.body);
    let other = api.post(&operator(), path, &asked, &key("case-8")).await;
    assert_ne!(other.body["grant"], answer.body["grant"]);
    let listed = api.get(&client("u42"), "/v1/users/u42/rewards").await;
    assert_eq!(listed.body["rewards"].as_array().unwrap().len(), 2, "{}", listed.text);
    let grant = answer.body["grant"].as_str().unwrap();
    let explained = api.get(&auditor(), &format!("/v1/audit/grants/{grant}")).await;
    assert_eq!(explained.body["events"][0]["type"], "reward_granted", "{}", explained.text);

    let revoke = format!("/v1/grants/{grant}/revoke");
    api.post(&operator(), &revoke, &json!({}), &[]).await.is_problem(400, "bad-input");
    let reason = json!({"reason": "granted by mistake"});
    let revoked = api.post(&operator(), &revoke, &reason, &key("r1")).await;
    assert_eq!((revoked.status.as_u16(), &revoked.body["revoked"]), (200, &json!([grant])));
    let again = api.post(&operator(), &revoke, &reason, &key("r1")).await;
    assert_eq!(again.body, revoked.body);
    api.post(&operator(), &revoke, &reason, &[]).await.is_problem(409, "not-revocable");
    let shown = api.get(&operator(), &format!("/v1/grants/{grant}")).await;
    assert_eq!(shown.body["state"], "revoked");
    let redeliver = format!("/v1/grants/{grant}/redeliver");
    api.post(&operator(), &redeliver, &reason, &[]).await.is_problem(409, "not-redeliverable");
    let revoked = api.get(&operator(), "/v1/grants?state=revoked").await;
    assert_eq!(revoked.body["grants"].as_array().unwrap().len(), 1, "{}", revoked.text);
    for wrong in [json!({"kind": "a", "code": "b", "reason": "x"}), json!({"reason": "x"})] {
        api.post(&operator(), path, &wrong, &[]).await.is_problem(400, "bad-input");
    }
    let unknown = "/v1/grants/00000000-0000-0000-0000-000000000000/revoke";
    api.post(&operator(), unknown, &json!({}), &[]).await.is_problem(404, "unknown-grant");
    rows_are_as_the_log_has_it(&api).await;
}

#[tokio::test]
async fn an_unclaimed_reward_that_is_revoked_is_not_claimed() {
    let api = Api::start().await;
    api.act("u42", "team.formed", "t1", json!({})).await;
    let listed = api.get(&operator(), "/v1/users/u42/rewards").await;
    let grant = listed.body["rewards"][0]["grant"].as_str().unwrap().to_owned();
    let revoke = format!("/v1/grants/{grant}/revoke");
    let answer = api.post(&operator(), &revoke, &json!({"reason": "fraud"}), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let claim = "/v1/users/u42/tasks/first-team/claim";
    api.post(&client("u42"), claim, &json!({}), &[]).await.is_problem(409, "nothing-claimable");
    let all = api.post(&client("u42"), "/v1/users/u42/claims", &json!({}), &[]).await;
    assert_eq!(all.body["outcomes"], json!([]));
    rows_are_as_the_log_has_it(&api).await;
}

#[tokio::test]
async fn a_reward_that_waits_for_its_budget_can_be_revoked() {
    const TASKS: &str = "
budgets: [ { id: none, limit: 0 } ]
tasks:
  - id: rare
    kind: ordinary
    objective: { on: rare.done, target: 1 }
    rewards:
      - { line: badge, kind: item, code: gold, amount: 1, budget: none, at_cap: wait }
      - { line: coins, kind: currency, code: coin, amount: 5, budget: none, at_cap: wait }
";
    let api = Api::start().await;
    catalogue_store::publish(&api.pool, &parse(TASKS).unwrap(), "test").await.unwrap();
    api.act("u42", "rare.done", "r1", json!({})).await;
    let waiting = api.get(&operator(), "/v1/grants?state=waiting").await;
    let grant = waiting.body["grants"][0]["grant"].as_str().unwrap().to_owned();
    let revoke = format!("/v1/grants/{grant}/revoke");
    let one = json!({"reason": "fraud"});
    let refused = api.post(&operator(), &revoke, &one, &[]).await;
    refused.is_problem(409, "not-revocable");
    assert!(refused.text.contains("revoke the whole milestone"), "{}", refused.text);
    let both = json!({"reason": "fraud", "whole_milestone": true});
    let revoked = api.post(&operator(), &revoke, &both, &[]).await;
    assert_eq!(revoked.status, 200, "{}", revoked.text);
    assert_eq!(revoked.body["revoked"].as_array().unwrap().len(), 2, "{}", revoked.text);
    let left = api.get(&operator(), "/v1/grants?state=waiting").await;
    assert_eq!(left.body["grants"], json!([]));
    rows_are_as_the_log_has_it(&api).await;
}

#[tokio::test]
async fn an_action_that_a_producer_reverses_is_taken_back() {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 40})).await;
    api.act("u42", "gift.sent", "g2", json!({"coins": 20})).await;
    let reversed = json!({"source": "/test", "id": "g1", "reason": "refunded"});
    api.act("u42", "plaudit.action.reversed", "r1", reversed).await;
    let shown = api.get(&client("u42"), GIFTS).await;
    assert_eq!(shown.body["progress"], 20, "{}", shown.text);
    let event = last_event(&api).await;
    assert_eq!(
        (&event["type"], &event["payload"]["reason"]),
        (&json!("progress_corrected"), &json!("refunded"))
    );
    assert_eq!(event["cause"]["action"]["id"], "r1");
    rows_are_as_the_log_has_it(&api).await;
}

const SIGN_IN: &str = "
tasks:
  - id: sign-in
    kind: continuous
    every: day
    text: { en: { title: Sign in every day } }
    objective: { on: user.signed_in }
    milestones: [ { at: 2, rewards: [ { line: d2, kind: currency, code: coin, amount: 20 } ] } ]
";

#[tokio::test]
async fn rule_24_an_operator_restores_a_streak_that_broke() {
    let api = Api::start().await;
    plaudit_event_store::catalogue_store::publish(
        &api.pool,
        &plaudit_task_file::parse(&with_days_of_zone(SIGN_IN)).unwrap(),
        "test",
    )
    .await
    .unwrap();
    let days_ago = |days: i64| jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    let signs_in = json!({"specversion": "1.0", "source": "/test", "id": "s1", "subject": "u42",
        "type": "user.signed_in", "time": days_ago(2), "data": {}});
    let answer = api.post(&producer(), "/v1/actions", &signs_in, &[]).await;
    assert_eq!(answer.body["outcomes"][0]["outcome"], "accepted", "{}", answer.text);
    let task = "/v1/users/u42/tasks/sign-in";
    let streak = |shown: Value| (shown["streak"]["current"].clone(), shown["state"].clone());
    let before = streak(api.get(&client("u42"), task).await.body);
    assert_eq!(before, (json!(0), json!("available")));

    let path = format!("{task}/restore");
    let yesterday = days_ago(1).in_tz(&ZONE).unwrap().date().to_string();
    let body = json!({"period": yesterday, "reason": "support case 7"});
    let answer = api.post(&operator(), &path, &body, &key("k1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shown = ["task", "period", "current", "longest", "milestones"];
    let shown: Vec<_> = shown.iter().map(|name| answer.body[name].clone()).collect();
    assert_eq!(json!(shown), json!(["sign-in", yesterday, 2, 2, [2]]));
    assert_eq!(answer.body["grants"].as_array().unwrap().len(), 1);
    let after = streak(api.get(&client("u42"), task).await.body);
    assert_eq!(after, (json!(2), json!("claimable")));
    let again = api.post(&operator(), &path, &body, &key("k1")).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &answer.body));
    api.post(&operator(), &path, &body, &key("k2")).await.is_problem(409, "not-correctable");

    let history = api.get(&auditor(), "/v1/audit/users/u42/history").await;
    let events = history.body["events"].as_array().unwrap();
    let made_up = events.iter().find(|event| event["type"] == "period_made_up").unwrap();
    let payload = &made_up["payload"];
    assert_eq!((&payload["by"], &payload["reason"]), (&json!("ops"), &json!("support case 7")));
    assert_eq!(made_up["metadata"]["command"], "restore");

    for (path, body, status, kind) in [
        (path.as_str(), json!({"reason": "x"}), 400, "bad-input"),
        (path.as_str(), json!({"period": yesterday}), 400, "bad-input"),
        (path.as_str(), json!({"period": "2020-W01", "reason": "x"}), 404, "unknown-period"),
        ("/v1/users/u42/tasks/none/restore", json!({}), 404, "unknown-task"),
        ("/v1/users/u42/tasks/daily-gifts/restore", body.clone(), 409, "no-streak"),
    ] {
        api.post(&operator(), path, &body, &[]).await.is_problem(status, kind);
    }
    for token in [client("u42"), producer(), auditor()] {
        api.post(&token, &path, &body, &[]).await.is_problem(403, "forbidden");
    }
    rows_are_as_the_log_has_it(&api).await;
}

/// A delivery that failed without an answer may have been paid: the operator is warned, and the
/// payer's acknowledgement is kept.
#[tokio::test]
async fn a_reward_that_may_be_paid_is_revoked_with_a_warning() {
    let api = Api::start().await;
    let path = "/v1/users/u42/grants";
    let asked = |line: &str| json!({"kind": "currency", "code": "coin", "amount": 50, "line": line, "reason": "x"});
    let granted = async |line: &str| {
        let answer = api.post(&operator(), path, &asked(line), &[]).await;
        answer.body["grant"].as_str().unwrap().to_owned()
    };
    let (unsent, sent) = (granted("one").await, granted("two").await);
    let user: plaudit_domain::ids::UserId = "u42".parse().unwrap();
    let lane = api.lane_of("u42");
    let rewards =
        rewards::load(&api.pool, lane, &user, None, None, 9, jiff::Timestamp::now()).await;
    let rewards = rewards.unwrap().rows.into_iter().map(|row| row.reward);
    let rewards = rewards.filter(|reward| reward.grant.to_string() == sent).collect();
    let work = StartDeliveries { user, rewards };
    let item = Item { lane, work, origin: Origin::Follower };
    api.executor.execute(&Batch { items: vec![item], checkpoints: vec![] }).await.unwrap();
    let failed = json!({"grant": sent, "reason": "no answer"});
    api.act("u42", "plaudit.reward.failed", "f1", failed).await;

    let revoke = async |grant: &str| {
        let path = format!("/v1/grants/{grant}/revoke");
        let answer = api.post(&operator(), &path, &json!({"reason": "fraud"}), &key("r")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.body
    };
    let answer = revoke(&unsent).await;
    assert_eq!((&answer["may_be_paid"], &answer["warning"]), (&json!([]), &Value::Null));
    let answer = revoke(&sent).await;
    assert_eq!(answer["may_be_paid"], json!([sent]));
    assert!(answer["warning"].as_str().unwrap().contains("may have been paid"), "{answer}");
    assert_eq!(revoke(&sent).await, answer, "a repeat gets the same");

    api.act("u42", "plaudit.reward.delivered", "d1", json!({"grant": sent})).await;
    let event = last_event(&api).await;
    assert_eq!(event["type"], "acknowledgement_ignored");
    assert_eq!(event["payload"]["reason"], "the reward was revoked, which is final");
}
