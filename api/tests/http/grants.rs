//! Grants for operators and auditors.

use serde_json::{Value, json};

use super::support::{Api, auditor, client, operator};

/// Users who have claimed a reward. Gives their grants.
async fn claimed(api: &Api, users: &[&str]) -> Vec<String> {
    let mut grants = Vec::new();
    for user in users {
        api.act(user, "team.formed", "t1", json!({})).await;
        let path = format!("/v1/users/{user}/tasks/first-team/claim");
        let receipt = api.post(&client(user), &path, &json!(null), &[]).await;
        grants.push(receipt.body["rewards"][0]["grant"].as_str().unwrap().to_owned());
    }
    grants
}

async fn fail(api: &Api, user: &str, grant: &str) {
    let data = json!({"grant": grant, "reason": "account closed"});
    api.act(user, "plaudit.reward.failed", "f1", data).await;
}

#[tokio::test]
async fn grants_are_listed_by_state_and_code_page_by_page() {
    let api = Api::start().await;
    let users = ["ann", "ben", "cid", "dan", "eve"];
    let mut grants = claimed(&api, &users).await;
    api.act("ann", "gift.sent", "g1", json!({"coins": 150})).await;
    grants.sort();
    let mut seen = Vec::new();
    let mut path = "/v1/grants?limit=2&state=claimed&code=coin".to_owned();
    // Deliveries are queued by the delivering process; without one, everything that is not on its way is
    // listed from the grants themselves.
    let all = api.get(&auditor(), "/v1/grants").await;
    assert_eq!(all.body["grants"].as_array().unwrap().len(), 6, "{}", all.text);
    let unclaimed = api.get(&operator(), "/v1/grants?state=claimable").await;
    assert_eq!(unclaimed.body["grants"][0]["line"], "small");
    queue_deliveries(&api).await;
    loop {
        let page = api.get(&operator(), &path).await;
        assert_eq!(page.status, 200, "{}", page.text);
        for grant in page.body["grants"].as_array().unwrap() {
            assert_eq!(grant["deliveries"][0]["channel"], "kafka");
            seen.push(grant["grant"].as_str().unwrap().to_owned());
        }
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/v1/grants?limit=2&state=claimed&code=coin&after={next}");
    }
    seen.sort();
    assert_eq!(seen, grants);
    let none = api.get(&operator(), "/v1/grants?code=gold").await;
    assert_eq!(none.body["grants"], json!([]));
    for wrong in ["state=lost", "after=x", "after=00000000-0000-0000-0000-000000000000"] {
        api.get(&operator(), &format!("/v1/grants?{wrong}")).await.is_problem(400, "bad-input");
    }
}

/// What the delivering process does.
async fn queue_deliveries(api: &Api) {
    sqlx::query(
        "insert into deliveries (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at)
         select lane, grant_id, 'kafka', true, user_id, granted_position, ordinal, '{}', 'waiting', now()
         from reward_state where state <> 'claimable'",
    )
    .execute(&api.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn rule_24_a_failed_grant_is_delivered_again_by_an_operator_with_a_reason() {
    let api = Api::start().await;
    let grant = claimed(&api, &["ann"]).await.remove(0);
    let path = format!("/v1/grants/{grant}");
    let redeliver = format!("{path}/redeliver");
    assert_eq!(api.get(&auditor(), &path).await.body["state"], "claimed");
    fail(&api, "ann", &grant).await;
    assert_eq!(api.get(&operator(), &path).await.body["state"], "failed");

    for (body, pointer) in [
        (json!({}), "/reason"),
        (json!({"reason": " "}), "/reason"),
        (json!({"reason": "x", "force": true}), "/force"),
    ] {
        let answer = api.post(&operator(), &redeliver, &body, &[]).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    let reason = json!({"reason": "the account is open again"});
    let answer = api.post(&operator(), &redeliver, &reason, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!((&answer.body["grant"], &answer.body["user"]), (&json!(grant), &json!("ann")));
    assert_eq!(api.get(&operator(), &path).await.body["state"], "claimed");
    let history = api.get(&auditor(), "/v1/audit/users/ann/history").await;
    let last = history.body["events"].as_array().unwrap().last().unwrap().clone();
    let payload: &Value = &last["payload"];
    assert_eq!(last["type"], "redelivery_requested");
    assert_eq!((&payload["by"], &payload["reason"]), (&json!("ops"), &reason["reason"]));

    // Delivered is final, and what is not claimed is nobody's to deliver.
    api.act("ann", "plaudit.reward.delivered", "d1", json!({"grant": grant})).await;
    api.post(&operator(), &redeliver, &reason, &[]).await.is_problem(409, "not-redeliverable");
    for unknown in ["00000000-0000-0000-0000-000000000000", "coins"] {
        let path = format!("/v1/grants/{unknown}");
        api.get(&operator(), &path).await.is_problem(404, "unknown-grant");
        let again = api.post(&operator(), &format!("{path}/redeliver"), &reason, &[]).await;
        again.is_problem(404, "unknown-grant");
    }
}
