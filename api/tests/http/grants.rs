//! Grants for operators and auditors.

use serde_json::{Value, json};

use super::support::{Api, auditor, client, operator};

/// Lets each user claim a reward, and returns the grants.
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
    // Deliveries are queued by the delivering process; grants without one are listed as well.
    let claimed = api.get(&operator(), "/v1/grants?state=claimed").await;
    assert_eq!(claimed.body["grants"].as_array().unwrap().len(), 5, "{}", claimed.text);
    assert_eq!(claimed.body["grants"][0]["deliveries"], json!([]));
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

/// An expired claim has no event until the user acts again or the sweep runs.
#[tokio::test]
async fn rule_13_grants_are_listed_and_shown_as_of_now() {
    let api = Api::start().await;
    for user in ["ann", "ben"] {
        api.act(user, "team.formed", "t1", json!({})).await;
    }
    let lapse = "update reward_state set lapses_at = now() - interval '1 second', lapses_as = $2,
                 claim_until = case when $2 = 'expired' then now() - interval '1 second' end
                 where user_id = $1";
    for (user, lapses_as) in [("ann", "expired"), ("ben", "granted")] {
        sqlx::query(lapse).bind(user).bind(lapses_as).execute(&api.pool).await.unwrap();
    }
    for (state, owner) in [("claimable", None), ("expired", Some("ann")), ("claimed", Some("ben"))]
    {
        let page = api.get(&operator(), &format!("/v1/grants?state={state}")).await;
        let grants = page.body["grants"].as_array().unwrap().clone();
        assert_eq!(grants.len(), owner.iter().count(), "{state}: {}", page.text);
        for shown in grants {
            assert_eq!((shown["user"].as_str(), shown["state"].as_str()), (owner, Some(state)));
            let path = format!("/v1/grants/{}", shown["grant"].as_str().unwrap());
            assert_eq!(api.get(&auditor(), &path).await.body["state"], state);
        }
    }
}

/// Queues deliveries, as the delivering process does.
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

    // A delivered reward is final, and an unclaimed one can't be delivered.
    api.act("ann", "plaudit.reward.delivered", "d1", json!({"grant": grant})).await;
    api.post(&operator(), &redeliver, &reason, &[]).await.is_problem(409, "not-redeliverable");
    for unknown in ["00000000-0000-0000-0000-000000000000", "coins"] {
        let path = format!("/v1/grants/{unknown}");
        api.get(&operator(), &path).await.is_problem(404, "unknown-grant");
        let again = api.post(&operator(), &format!("{path}/redeliver"), &reason, &[]).await;
        again.is_problem(404, "unknown-grant");
    }
}

#[tokio::test]
async fn grants_that_failed_are_delivered_again_in_steps_and_once_under_a_key() {
    let api = Api::start().await;
    let users = ["ann", "ben", "cid"];
    let grants = claimed(&api, &users).await;
    for (user, grant) in users.iter().zip(&grants) {
        fail(&api, user, grant).await;
    }
    let path = "/v1/grants/redeliver";
    let reason = "the vault is open again";
    for (body, pointer) in [
        (json!({}), "/reason"),
        (json!({"reason": reason, "state": "delivered"}), "/state"),
        (json!({"reason": reason, "since": "yesterday"}), "/since"),
        (json!({"reason": reason, "limit": 1001}), "/limit"),
        (json!({"reason": reason, "codes": "coin"}), "/codes"),
        (json!({"reason": reason, "after": "00000000-0000-0000-0000-000000000000"}), "/after"),
    ] {
        let answer = api.post(&operator(), path, &body, &[]).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    let other = json!({"reason": reason, "code": "gold"});
    let none = api.post(&operator(), path, &other, &[]).await;
    assert_eq!(none.body, json!({"redelivered": [], "refused": [], "next": null}), "{}", none.text);

    let key = [("idempotency-key", "case-7")];
    let body = json!({"reason": reason, "kind": "currency", "code": "coin", "limit": 2});
    let first = api.post(&operator(), path, &body, &key).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!(first.body["redelivered"].as_array().unwrap().len(), 2, "{}", first.text);
    let again = api.post(&operator(), path, &body, &key).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let mut rest = body.clone();
    rest["after"] = first.body["next"].clone();
    let rest = api.post(&operator(), path, &rest, &[]).await;
    assert_eq!(rest.body["redelivered"].as_array().unwrap().len(), 1, "{}", rest.text);
    assert_eq!(rest.body["next"], Value::Null);
    let claimed = api.get(&operator(), "/v1/grants?state=claimed").await;
    assert_eq!(claimed.body["grants"].as_array().unwrap().len(), 3);

    // Single redeliveries work the same way.
    fail_again(&api, "ann", &grants[0]).await;
    let path = format!("/v1/grants/{}/redeliver", grants[0]);
    let body = json!({ "reason": reason });
    let first = api.post(&operator(), &path, &body, &key).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = api.post(&operator(), &path, &body, &key).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let position = "plaudit-position";
    assert_eq!(again.header(position), first.header(position));
    let events = "select count(*) from events where event_type = 'redelivery_requested'";
    let requested: i64 = sqlx::query_scalar(events).fetch_one(&api.pool).await.unwrap();
    assert_eq!(requested, 4);
    let recorded: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select operation, operator, reason from operations order by at")
            .fetch_all(&api.pool)
            .await
            .unwrap();
    assert_eq!(recorded.len(), 4, "{recorded:?}");
    let is_by_ops = |(_, operator, why): &(String, String, Option<String>)| {
        operator == "ops" && why.as_deref() == Some(reason)
    };
    assert!(recorded.iter().all(is_by_ops), "{recorded:?}");
}

/// Makes a user's rows and log unreadable.
async fn damage(api: &Api, user: &str) {
    let row = "update user_view set zones = '{\"x\": 1}' where user_id = $1";
    let log = "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version,
                                   payload, metadata, position)
               select lane, aggregate_type, aggregate_id, max(sequence) + 1, 'task_completed', '99.0', '{}', '{}',
                      (select max(position) + 1 from events o where o.lane = e.lane)
               from events e where aggregate_id = $1 group by 1, 2, 3";
    for sql in [row, log] {
        let done = sqlx::query(sql).bind(user).execute(&api.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    }
}

#[tokio::test]
async fn rule_23_a_damaged_user_hinders_no_redelivery_of_others() {
    let api = Api::start().await;
    let users = ["ann", "ben", "cid"];
    let grants = claimed(&api, &users).await;
    for (user, grant) in users.iter().zip(&grants) {
        fail(&api, user, grant).await;
    }
    damage(&api, "ben").await;
    // Another process has not cached Ben's state.
    let api = api.another_process().await;
    let body = json!({"reason": "the vault is open again"});
    let answer = api.post(&operator(), "/v1/grants/redeliver", &body, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["redelivered"].as_array().unwrap().len(), 2, "{}", answer.text);
    assert_eq!(answer.body["refused"].as_array().unwrap().len(), 1, "{}", answer.text);
    assert_eq!(answer.body["refused"][0]["grant"], json!(grants[1]));
    let detail = answer.body["refused"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("`plaudit audit history ben`"), "{detail}");
    assert_eq!(answer.body["next"], Value::Null);
}

/// A request without a key is recorded before its work, which may end half done.
#[tokio::test]
async fn rule_24_a_redelivery_without_a_key_is_recorded_even_if_its_client_hangs_up() {
    let api = Api::start().await;
    let grant = claimed(&api, &["ann"]).await.remove(0);
    fail(&api, "ann", &grant).await;
    let held = api.hold_lanes().await;
    let body = json!({"reason": "a drill"});
    let token = operator();
    let sent = api.post(&token, "/v1/grants/redeliver", &body, &[]);
    let recorded = api
        .until("select exists (select from operations where operation = 'rewards.redeliver-many')");
    tokio::select! {
        answer = sent => panic!("its lane is held: {answer:?}"),
        () = recorded => {}
    }
    held.rollback().await.unwrap();
}

/// The session that would store the answer ends before the work does.
#[tokio::test]
async fn rule_24_a_redelivery_of_many_with_a_key_is_recorded_even_if_it_has_no_answer() {
    let api = Api::start().await;
    let grant = claimed(&api, &["ann"]).await.remove(0);
    fail(&api, "ann", &grant).await;
    let (path, body, token) = ("/v1/grants/redeliver", json!({"reason": "a drill"}), operator());
    let key = [("idempotency-key", "case-9")];
    let held = api.hold_lanes().await;
    let keyed = "from pg_stat_activity where datname = current_database()
                 and state = 'idle in transaction' and query like 'select answer from operations%'";
    let ended = async {
        api.until(&format!("select exists (select {keyed})")).await;
        let end = format!("select count(pg_terminate_backend(pid)) {keyed}");
        let ended: i64 = sqlx::query_scalar(&end).fetch_one(&api.pool).await.unwrap();
        assert_eq!(ended, 1);
        held.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(api.post(&token, path, &body, &key), ended);
    assert!(answer.status.is_server_error(), "{}", answer.text);
    let recorded = "select count(*) from operations";
    let recorded = || sqlx::query_scalar::<_, i64>(recorded).fetch_one(&api.pool);
    assert_eq!(recorded().await.unwrap(), 1);

    // A repeat finds no answer, so it sends what is still failed: nothing.
    let again = api.post(&token, path, &body, &key).await;
    assert_eq!(again.status, 200, "{}", again.text);
    let third = api.post(&token, path, &body, &key).await;
    assert_eq!((third.status.as_u16(), &third.body), (200, &again.body));
    assert_eq!(recorded().await.unwrap(), 1);
    let events = "select count(*) from events where event_type = 'redelivery_requested'";
    let requested: i64 = sqlx::query_scalar(events).fetch_one(&api.pool).await.unwrap();
    assert_eq!(requested, 1);
}

/// The lanes are held until the client is gone, so the work ends without it.
#[tokio::test]
async fn rule_24_a_redelivery_is_recorded_with_its_key_even_if_its_client_hangs_up() {
    let api = Api::start().await;
    let grant = claimed(&api, &["ann"]).await.remove(0);
    fail(&api, "ann", &grant).await;
    let (path, body) = (format!("/v1/grants/{grant}/redeliver"), json!({"reason": "a drill"}));
    let held = api.hold_lanes().await;
    let begun = "select exists (select from pg_stat_activity
                                where datname = current_database() and state = 'idle in transaction'
                                  and query like 'select answer from operations%')";
    api.post_and_hang_up(&path, "case-8", &body, begun).await;
    held.rollback().await.unwrap();
    api.until("select exists (select from operations where answer is not null)").await;
    let key = [("idempotency-key", "case-8")];
    let again = api.post(&operator(), &path, &body, &key).await;
    assert_eq!((again.status.as_u16(), &again.body["grant"]), (200, &json!(grant)));
    let events = "select count(*) from events where event_type = 'redelivery_requested'";
    let requested: i64 = sqlx::query_scalar(events).fetch_one(&api.pool).await.unwrap();
    assert_eq!(requested, 1);
}

/// The reward was sent over a channel that is no longer in the settings.
#[tokio::test]
async fn rule_14_a_grant_that_was_sent_goes_to_another_payer_only_if_an_operator_says_so() {
    let api = Api::start().await;
    let grant = claimed(&api, &["ann"]).await.remove(0);
    let sql = "insert into deliveries (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at, attempts)
               select lane, grant_id, 'old', true, user_id, 1, 0, '{}', 'waiting', now(), 1 from reward_state";
    sqlx::query(sql).execute(&api.pool).await.unwrap();
    let path = format!("/v1/grants/{grant}/redeliver");
    let mut body = json!({"reason": "the vault has moved"});
    let refused = api.post(&operator(), &path, &body, &[]).await;
    refused.is_problem(409, "new-payer");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("by the channel old") && detail.contains("by kafka"), "{detail}");
    let many = json!({"reason": "the vault has moved", "state": "claimed"});
    let many = api.post(&operator(), "/v1/grants/redeliver", &many, &[]).await;
    assert_eq!(many.body["redelivered"], json!([]), "{}", many.text);
    assert_eq!(many.body["refused"][0]["grant"], json!(grant), "{}", many.text);
    body["to_new_payer"] = json!(true);
    let answer = api.post(&operator(), &path, &body, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

async fn fail_again(api: &Api, user: &str, grant: &str) {
    api.act(user, "plaudit.reward.failed", "f2", json!({ "grant": grant })).await;
}
