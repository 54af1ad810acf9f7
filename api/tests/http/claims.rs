//! Claims that are retried, raced and refused.

use plaudit_domain::catalogue::Status;
use plaudit_event_store::catalogue_store;
use serde_json::{Value, json};

use super::support::{Api, client};

const CLAIM: &str = "/v1/users/u42/tasks/daily-gifts/claim";

async fn with_two_milestones() -> Api {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 1000})).await;
    api
}

/// Returns the key of the period on the screen.
async fn running_period(api: &Api) -> Value {
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
    shown.body["period"]["key"].clone()
}

/// Rules 16 and 19: a claim is committed and has its position before anything is delivered.
#[tokio::test]
async fn rule_19_a_claim_answers_with_its_receipt() {
    let api = with_two_milestones().await;
    let answer = api.post(&client("u42"), CLAIM, &Value::Null, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let receipt = &answer.body;
    let mut fields: Vec<_> = receipt.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["claimed_at", "milestone", "period", "position", "rewards", "task", "user"]
    );
    assert_eq!((&receipt["user"], &receipt["task"]), (&json!("u42"), &json!("daily-gifts")));
    assert_eq!(
        (&receipt["milestone"], &receipt["period"]),
        (&json!(100), &running_period(&api).await)
    );
    let reward = &receipt["rewards"][0];
    assert_eq!(
        (&reward["line"], &reward["kind"], &reward["code"], &reward["amount"], &reward["state"]),
        (&json!("small"), &json!("currency"), &json!("coin"), &json!(10), &json!("claimed"))
    );
    assert_eq!(answer.header("plaudit-position"), receipt["position"].as_str().unwrap());
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
    assert_eq!(shown.body["milestones"][0]["rewards"][0]["state"], "claimed");
    assert_eq!(shown.body["milestones"][0]["rewards"][0]["grant"], reward["grant"]);
}

#[tokio::test]
async fn rule_17_a_repeated_claim_returns_the_same_receipt() {
    let api = with_two_milestones().await;
    let token = client("u42");
    let named = json!({"period": running_period(&api).await, "milestone": 100});
    let first = api.post(&token, CLAIM, &named, &[]).await;
    let again = api.post(&token, CLAIM, &named, &[]).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let key = [("idempotency-key", "retry-1")];
    let first = api.post(&token, CLAIM, &json!({}), &key).await;
    assert_eq!((first.status.as_u16(), &first.body["milestone"]), (200, &json!(1000)));
    let again = api.post(&token, CLAIM, &json!({}), &key).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
    let other = [("idempotency-key", "retry-2")];
    api.post(&token, CLAIM, &json!({}), &other).await.is_problem(409, "nothing-claimable");
}

/// The log decides what was claimed and what can be, whatever a read model shows.
#[tokio::test]
async fn rule_17_a_claim_never_depends_on_a_read_model() {
    let api = with_two_milestones().await;
    let token = client("u42");
    let forget = async || {
        for view in ["user_view", "task_view", "reward_state"] {
            sqlx::query(&format!("delete from {view}")).execute(&api.pool).await.unwrap();
        }
    };
    forget().await;
    assert_eq!(api.get(&token, "/v1/users/u42/rewards").await.body["rewards"], json!([]));
    let first = api.post(&token, CLAIM, &json!({}), &[]).await;
    assert_eq!((first.status.as_u16(), &first.body["milestone"]), (200, &json!(100)));
    forget().await;
    let named = json!({"period": first.body["period"], "milestone": 100});
    let again = api.post(&token, CLAIM, &named, &[]).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body));
}

/// Claims without names or keys race: only the first finds something.
#[tokio::test]
async fn rule_14_concurrent_claims_pay_once() {
    let api = Api::start().await;
    api.act("u42", "team.formed", "t1", json!({})).await;
    let path = "/v1/users/u42/tasks/first-team/claim";
    let token = client("u42");
    let body = json!({});
    let (a, b, c, d) = tokio::join!(
        api.post(&token, path, &body, &[]),
        api.post(&token, path, &body, &[]),
        api.post(&token, path, &body, &[]),
        api.post(&token, path, &body, &[]),
    );
    let mut statuses = [a.status, b.status, c.status, d.status].map(|status| status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409, 409, 409]);
}

/// A repeat is recognised by its key or by the names in it, in any process.
#[tokio::test]
async fn rule_17_a_hundred_concurrent_claims_give_one_grant_and_a_hundred_equal_receipts() {
    let first = Api::start().await;
    let second = first.another_process().await;
    let path = |user: &str| format!("/v1/users/{user}/tasks/first-team/claim");
    let named = json!({"period": "once", "milestone": 1});
    let key = [("idempotency-key", "one-for-all")];
    for (user, body, headers) in [("by-key", json!({}), &key[..]), ("by-name", named, &key[..0])] {
        first.act(user, "team.formed", "t1", json!({})).await;
        let (token, path) = (client(user), path(user));
        let claim = |n: usize| {
            let process = if n.is_multiple_of(2) { &first } else { &second };
            process.post(&token, &path, &body, headers)
        };
        let answers = futures::future::join_all((0..100).map(claim)).await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{user}: {}", answer.text);
            assert_eq!(answer.body, answers[0].body, "{user}");
        }
        let claimed: i64 = sqlx::query_scalar(
            "select count(*) from events where aggregate_id = $1 and event_type = 'rewards_claimed'",
        )
        .bind(user)
        .fetch_one(&first.pool)
        .await
        .unwrap();
        assert_eq!(claimed, 1, "{user}");
    }
}

#[tokio::test]
async fn nothing_to_claim_is_409_with_the_tasks_state() {
    let api = Api::start().await;
    let token = client("u42");
    let answer = api.post(&token, CLAIM, &json!({}), &[]).await;
    answer.is_problem(409, "nothing-claimable");
    assert_eq!(answer.body["state"], "available");
    api.act("u42", "gift.sent", "g1", json!({"coins": 150})).await;
    let named = json!({"period": running_period(&api).await, "milestone": 1000});
    let answer = api.post(&token, CLAIM, &named, &[]).await;
    answer.is_problem(409, "nothing-claimable");
    assert_eq!(answer.body["state"], "claimable");
    let answer = api.post(&token, CLAIM, &json!({"period": "2020-01-01"}), &[]).await;
    answer.is_problem(409, "nothing-claimable");
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let api = Api::start().await;
    let token = client("u42");
    let nothing = "/v1/users/u42/tasks/nothing/claim";
    api.post(&token, nothing, &json!({}), &[]).await.is_problem(404, "unknown-task");
    api.post(&token, "/v1/users/u42/tasks/NO/claim", &json!({}), &[])
        .await
        .is_problem(404, "unknown-task");
    api.post(&token, CLAIM, &json!({"milestone": 7}), &[])
        .await
        .is_problem(404, "unknown-milestone");
    for key in ["once", "2026-W13", "2026-02-30", "", "yesterday", "2026\0"] {
        api.post(&token, CLAIM, &json!({"period": key}), &[])
            .await
            .is_problem(404, "unknown-period");
    }
}

#[tokio::test]
async fn a_bad_claim_is_refused_with_the_place_of_the_error() {
    let api = with_two_milestones().await;
    let token = client("u42");
    for (body, pointer) in [
        (json!({"milestones": 1}), "/milestones"),
        (json!({"milestone": "1"}), "/milestone"),
        (json!({"milestone": 1.5}), "/milestone"),
        (json!({"period": 1}), "/period"),
        (json!([]), ""),
    ] {
        let answer = api.post(&token, CLAIM, &body, &[]).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    let long = "k".repeat(256);
    for key in ["", "two words", long.as_str(), "tab\tbed"] {
        let answer = api.post(&token, CLAIM, &json!({}), &[("idempotency-key", key)]).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["parameter"], "Idempotency-Key");
    }
}

#[tokio::test]
async fn all_claims_at_once_have_one_outcome_each() {
    let api = with_two_milestones().await;
    let token = client("u42");
    api.act("u42", "team.formed", "t1", json!({})).await;
    let answer = api.post(&token, "/v1/users/u42/claims", &Value::Null, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.body["user"], "u42");
    assert_eq!(answer.body["position"], answer.header("plaudit-position"));
    let outcomes = answer.body["outcomes"].as_array().unwrap();
    let mut milestones: Vec<_> = outcomes
        .iter()
        .map(|o| (o["task"].as_str().unwrap(), o["milestone"].as_i64().unwrap()))
        .collect();
    milestones.sort_unstable();
    assert_eq!(milestones, [("daily-gifts", 100), ("daily-gifts", 1000), ("first-team", 1)]);
    assert!(
        outcomes.iter().all(|o| o["outcome"] == "claimed" && o["rewards"][0]["grant"].is_string())
    );
    let again = api.post(&token, "/v1/users/u42/claims", &json!({}), &[]).await;
    assert_eq!((again.status.as_u16(), &again.body["outcomes"]), (200, &json!([])));
}

#[tokio::test]
async fn a_refused_claim_tells_the_state_of_a_task_that_is_shown_no_more() {
    let api = Api::start().await;
    let retired = "first-team".parse().unwrap();
    catalogue_store::set_status(&api.pool, &retired, Status::Retired, "test").await.unwrap();
    let token = client("u42");
    api.get(&token, "/v1/users/u42/tasks/first-team").await.is_problem(404, "unknown-task");
    let answer = api.post(&token, "/v1/users/u42/tasks/first-team/claim", &json!({}), &[]).await;
    answer.is_problem(409, "nothing-claimable");
    assert_eq!(answer.body["state"], "available");
}
