//! Answers for auditors.

use plaudit_domain::catalogue::Status;
use plaudit_event_store::catalogue_store::{self, Author};
use plaudit_event_store::operations::{self, OperationKind};
use serde_json::json;
use uuid::Uuid;

use super::support::{Api, auditor, client};

#[tokio::test]
async fn a_history_tells_each_event_with_its_cause() {
    let api = Api::start().await;
    api.act("u42", "team.formed", "t1", json!({})).await;
    api.post(&client("u42"), "/v1/users/u42/tasks/first-team/claim", &json!({}), &[]).await;
    let answer = api.get(&auditor(), "/v1/audit/users/u42/history").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let events = answer.body["events"].as_array().unwrap();
    let types: Vec<_> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["progress_recorded", "milestone_reached", "task_completed", "rewards_claimed"]
    );
    let sequences: Vec<_> = events.iter().map(|e| e["sequence"].as_i64().unwrap()).collect();
    assert_eq!(sequences, [1, 2, 3, 4]);
    let first = &events[0];
    assert_eq!(
        first["cause"]["action"],
        json!({"source": "/test", "id": "t1", "type": "team.formed"})
    );
    assert_eq!((&first["task"], &first["task_version"]), (&json!("first-team"), &json!(1)));
    assert_eq!(first["payload"]["progress"], 1);
    assert!(
        first["recorded_at"].is_string()
            && first["occurred_at"].is_string()
            && first["position"].is_string()
    );
    assert!(events[3]["cause"]["request"].is_string());
    assert_eq!(answer.body["next"], json!(null));
    let page = api.get(&auditor(), "/v1/audit/users/u42/history?after=1&limit=2").await;
    assert_eq!((&page.body["events"][0]["sequence"], &page.body["next"]), (&json!(2), &json!(3)));
    let recorded = events[3]["recorded_at"].as_str().unwrap();
    let from = api.get(&auditor(), &format!("/v1/audit/users/u42/history?from={recorded}")).await;
    assert_eq!(from.body["events"].as_array().unwrap().len(), 1);
    let until = api.get(&auditor(), &format!("/v1/audit/users/u42/history?until={recorded}")).await;
    assert_eq!(until.body["events"].as_array().unwrap().len(), 3);
    let nobody = api.get(&auditor(), "/v1/audit/users/nobody/history").await;
    assert_eq!((nobody.status.as_u16(), &nobody.body["events"]), (200, &json!([])));
}

#[tokio::test]
async fn a_state_is_shown_as_it_was() {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 5})).await;
    let between = jiff::Timestamp::now();
    api.act("u42", "gift.sent", "g2", json!({"coins": 6})).await;
    let progress = async |query: &str| {
        let answer = api.get(&auditor(), &format!("/v1/audit/users/u42/state{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let tasks = answer.body["tasks"].as_array().unwrap().clone();
        tasks
            .iter()
            .find(|task| task["id"] == "daily-gifts")
            .map(|task| task["progress"].as_i64().unwrap())
    };
    assert_eq!(progress("").await, Some(11));
    assert_eq!(progress(&format!("?at={between}")).await, Some(5));
    assert_eq!(progress("?at=1").await, Some(5));
    assert_eq!(progress("?at=2").await, Some(11));
    assert_eq!(progress("?at=99").await, Some(11));
    assert_eq!(progress("?at=0").await, Some(0));
    assert_eq!(
        progress("?at=2020-01-01T00:00:00%2B01:00").await,
        None,
        "no task was published then"
    );
    assert_eq!(
        progress("?at=2020-01-01T00:00:00+01:00").await,
        None,
        "a plus that was not encoded"
    );
}

#[tokio::test]
async fn a_state_says_where_it_was_true() {
    let api = Api::start().await;
    let first = api.act("u42", "gift.sent", "g1", json!({"coins": 5})).await;
    let between = jiff::Timestamp::now();
    let last = api.act("u42", "gift.sent", "g2", json!({"coins": 6})).await;
    let lane = first.split_once(':').unwrap().0;
    let beginning = format!("{lane}:0");
    for (at, position) in [
        (String::new(), &last),
        ("?at=2999-01-01T00:00:00Z".to_owned(), &last),
        (format!("?at={between}"), &first),
        ("?at=2020-01-01T00:00:00Z".to_owned(), &beginning),
        ("?at=0".to_owned(), &beginning),
        ("?at=1".to_owned(), &first),
        ("?at=99".to_owned(), &last),
    ] {
        let answer = api.get(&auditor(), &format!("/v1/audit/users/u42/state{at}")).await;
        assert_eq!(answer.body["position"], json!(position), "{at}: {}", answer.text);
        assert_eq!(answer.header("plaudit-position"), position, "{at}");
    }
}

#[tokio::test]
async fn a_state_of_now_has_what_was_waited_for() {
    let api = Api::start().await;
    let position = api.act("u42", "gift.sent", "g1", json!({"coins": 5})).await;
    let (lane, number) = position.split_once(':').unwrap();
    let number: i64 = number.parse().unwrap();
    let next = format!("/v1/audit/users/u42/state?at_least={lane}:{}", number + 1);
    let token = auditor();
    let waiting = api.get_with(&token, &next, &[("prefer", "wait=10")]);
    let (waited, _) = tokio::join!(waiting, api.act("u42", "gift.sent", "g2", json!({"coins": 6})));
    assert_eq!(waited.body["tasks"][1]["progress"], 11, "{}", waited.text);
}

#[tokio::test]
async fn a_state_before_a_task_was_retired_shows_it() {
    let api = Api::start().await;
    api.act("u42", "team.formed", "t1", json!({})).await;
    api.post(&client("u42"), "/v1/users/u42/tasks/first-team/claim", &json!({}), &[]).await;
    let before: jiff::Timestamp =
        sqlx::query_scalar::<_, String>("select to_json(clock_timestamp()) #>> '{}'")
            .fetch_one(&api.pool)
            .await
            .unwrap()
            .parse()
            .unwrap();
    let retired = "first-team".parse().unwrap();
    catalogue_store::set_status(&api.pool, &retired, Status::Retired, "test").await.unwrap();
    let shown = async |query: &str| {
        let answer = api.get(&auditor(), &format!("/v1/audit/users/u42/state{query}")).await;
        answer.body["tasks"].as_array().unwrap().iter().any(|task| task["id"] == "first-team")
    };
    assert!(shown(&format!("?at={before}")).await);
    assert!(!shown("").await);
}

#[tokio::test]
async fn a_grant_is_explained_from_the_message_to_what_became_of_it() {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 10})).await;
    api.act("u42", "team.formed", "t1", json!({})).await;
    let claimed =
        api.post(&client("u42"), "/v1/users/u42/tasks/first-team/claim", &json!({}), &[]).await;
    let grant = claimed.body["rewards"][0]["grant"].as_str().unwrap();
    let explained = api.get(&auditor(), &format!("/v1/audit/grants/{grant}")).await;
    assert_eq!(explained.status, 200, "{}", explained.text);
    assert!(explained.body["message"]["request"].is_string());
    let action = json!({"source": "/test", "id": "t1", "type": "team.formed"});
    assert_eq!(explained.body["command"], json!({"type": "record_action", "action": action}));
    let types = |name: &str| -> Vec<String> {
        let events = explained.body[name].as_array().unwrap();
        events.iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types("events"), ["progress_recorded", "milestone_reached", "task_completed"]);
    assert_eq!(types("since"), ["rewards_claimed"]);
    assert!(explained.body["deliveries"].is_array());
    let entry = &explained.body["grant"];
    assert_eq!(
        (&entry["user"], &entry["task"], &entry["line"], &entry["state"]),
        (&json!("u42"), &json!("first-team"), &json!("coins"), &json!("claimed"))
    );
    for unknown in ["nothing", "00000000-0000-0000-0000-000000000000"] {
        let path = format!("/v1/audit/grants/{unknown}");
        api.get(&auditor(), &path).await.is_problem(404, "unknown-grant");
    }
}

#[tokio::test]
async fn a_user_is_verified_against_the_chain() {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 10})).await;
    let found = api.get(&auditor(), "/v1/audit/users/u42/verify").await;
    assert_eq!((&found.body["intact"], &found.body["events"]), (&json!(true), &json!(1)));
    assert_eq!(found.body["digest"].as_str().unwrap().len(), 64);
    let nobody = api.get(&auditor(), "/v1/audit/users/nobody/verify").await;
    assert_eq!((&nobody.body["intact"], &nobody.body["events"]), (&json!(true), &json!(0)));
    api.get(&client("u42"), "/v1/audit/users/u42/verify").await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn rule_24_operations_are_listed_the_latest_first() {
    let api = Api::start().await;
    let reasons = [Some("slow"), None, Some("restored")];
    for (subject, reason) in ["task_view", "reward_state", "since=x"].into_iter().zip(reasons) {
        let author = Author { by: "ops".to_owned(), reason: reason.map(str::to_owned) };
        operations::record(OperationKind::Rebuild, subject, &author, &api.pool).await.unwrap();
    }
    let first = api.get(&auditor(), "/v1/audit/operations?limit=2").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let shown = |answer: &super::support::Answer| -> Vec<(String, String)> {
        let operations = answer.body["operations"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        operations.iter().map(|one| (text(&one["subject"]), text(&one["reason"]))).collect()
    };
    let named = |subject: &str, reason: &str| (subject.to_owned(), reason.to_owned());
    let latest = [named("since=x", "restored"), named("reward_state", "no reason given")];
    assert_eq!(shown(&first), latest);
    let operation = &first.body["operations"][0];
    assert_eq!(
        (&operation["operator"], &operation["operation"]),
        (&json!("ops"), &json!("projections.rebuild"))
    );
    let next = first.body["next"].as_str().unwrap();
    let rest = api.get(&auditor(), &format!("/v1/audit/operations?after={next}")).await;
    assert_eq!(shown(&rest), [named("task_view", "slow")]);
    assert_eq!(rest.body["next"], json!(null));
    let unknown = format!("/v1/audit/operations?after={}", Uuid::nil());
    api.get(&auditor(), &unknown).await.is_problem(400, "bad-input");
}
