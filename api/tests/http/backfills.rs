//! Backfills over HTTP.

use axum::http::Method;
use serde_json::{Value, json};

use super::support::{Api, auditor, client, operator, request};

const VETERAN: &str = "
tasks:
  - id: veteran
    kind: ordinary
    objective: { on: team.formed, target: 50 }
    backfill: { from: 2026-01-01T00:00:00Z, rewards: hold }
";

async fn send_file(api: &Api, path: &str) -> Value {
    let headers = [("content-type", "application/yaml")];
    let sent = request(Method::POST, path, &operator(), &headers, VETERAN.into());
    let answer = api.send(sent).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn operators_follow_pause_cancel_and_release_a_backfill() {
    let api = Api::start().await;
    let planned = send_file(&api, "/v1/tasks/plan").await;
    let backfill = &planned["tasks"][0]["backfill"];
    assert_eq!((&backfill["rewards"], backfill["unknown"].is_string()), (&json!("hold"), true));
    let path = "/v1/tasks/veteran/backfill";
    api.get(&auditor(), path).await.is_problem(404, "no-backfill");
    send_file(&api, "/v1/tasks/publish").await;
    let shown = api.get(&auditor(), path).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!((&shown.body["state"], &shown.body["records"]), (&json!("running"), &json!(null)));
    let post = async |verb: &str| {
        let reason = json!({ "reason": "a test" });
        api.post(&operator(), &format!("{path}/{verb}"), &reason, &[]).await
    };
    assert_eq!(post("pause").await.body["state"], "paused");
    post("release").await.is_problem(409, "backfill-unfinished");
    assert_eq!(post("resume").await.body["state"], "running");
    assert_eq!(post("cancel").await.body["state"], "cancelled");
    post("pause").await.is_problem(409, "backfill-over");
    assert!(post("release").await.body["release_requested_at"].is_string());
    let listed = api.get(&auditor(), "/v1/backfills").await;
    assert_eq!(listed.body["backfills"][0]["task"], "veteran");
    let noted: i64 = sqlx::query_scalar(
        "select count(*) from backfill_changes where changed_by <> '' and reason = 'a test'",
    )
    .fetch_one(&api.pool)
    .await
    .unwrap();
    assert_eq!(noted, 4);
    api.post(&auditor(), &format!("{path}/pause"), &json!({}), &[])
        .await
        .is_problem(403, "forbidden");
    api.get(&client("u42"), "/v1/backfills").await.is_problem(403, "forbidden");
}
