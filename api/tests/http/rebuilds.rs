//! Rebuilds that are paused, resumed or cancelled while they run.

use serde_json::{Value, json};

use super::support::{Api, operator};

const REBUILD: &str = "/v1/projections/task_view/rebuild";

/// Starts a rebuild that can't be swapped, then pauses and resumes it. The transaction holds the
/// locks of all lanes until it ends.
async fn resumed(api: &Api) -> (sqlx::Transaction<'static, sqlx::Postgres>, Value) {
    api.act("u42", "gift.sent", "g1", json!({"coins": 5})).await;
    let held = api.hold_lanes().await;
    let started = api.post(&operator(), REBUILD, &Value::Null, &[]).await;
    assert_eq!(started.status, 202, "{}", started.text);
    assert_eq!(steer(api, "pause").await["state"], "paused");
    assert_eq!(steer(api, "resume").await["state"], "running");
    (held, started.body["started_at"].clone())
}

async fn steer(api: &Api, how: &str) -> Value {
    let answer = api.post(&operator(), &format!("{REBUILD}/{how}"), &Value::Null, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// Waits for all rebuilds to end, and returns the state of the last one.
async fn ended(api: &Api) -> Value {
    api.rebuilds.running.close();
    api.rebuilds.running.wait().await;
    api.get(&operator(), REBUILD).await.body
}

#[tokio::test]
async fn a_resumed_rebuild_is_the_one_that_was_started_and_ends_once() {
    let api = Api::start().await;
    let (held, started_at) = resumed(&api).await;
    held.rollback().await.unwrap();
    let ended = ended(&api).await;
    assert_eq!((&ended["state"], &ended["started_at"]), (&json!("swapped"), &started_at));
}

#[tokio::test]
async fn a_rebuild_that_is_given_up_after_it_was_resumed_stays_so() {
    let api = Api::start().await;
    let (held, started_at) = resumed(&api).await;
    assert_eq!(steer(&api, "cancel").await["state"], "cancelled");
    held.rollback().await.unwrap();
    let ended = ended(&api).await;
    assert_eq!((&ended["state"], &ended["started_at"]), (&json!("cancelled"), &started_at));
    let all = api.get(&operator(), "/v1/projections").await;
    assert_eq!(all.body["projections"][0]["old_kept"], json!(false), "{}", all.text);
}

#[tokio::test]
async fn rule_24_whoever_steers_a_rebuild_is_recorded_with_the_reason() {
    let api = Api::start().await;
    let (held, _) = resumed(&api).await;
    let path = format!("{REBUILD}/cancel");
    let answer = api.post(&operator(), &path, &json!({"reason": "wrong day"}), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    held.rollback().await.unwrap();
    ended(&api).await;
    let wrong = api.post(&operator(), &path, &json!({"reason": 1}), &[]).await;
    wrong.is_problem(400, "bad-input");
    let nothing = "/v1/projections/nothing/rebuild/cancel";
    let unknown = api.post(&operator(), nothing, &json!({"reason": 1}), &[]).await;
    unknown.is_problem(404, "unknown-projection");
    let recorded: Vec<(String, String, String, Option<String>)> =
        sqlx::query_as("select operation, subject, operator, reason from operations order by at")
            .fetch_all(&api.pool)
            .await
            .unwrap();
    let operations: Vec<&str> = recorded.iter().map(|(operation, ..)| operation.as_str()).collect();
    let expected =
        ["rebuild", "pause", "resume", "cancel"].map(|what| format!("projections.{what}"));
    assert_eq!(operations, expected);
    assert!(recorded.iter().all(|(_, subject, by, _)| subject == "task_view" && by == "ops"));
    assert_eq!(recorded[3].3.as_deref(), Some("wrong day"));
}

/// The rebuild is held up before it is stored, until its client is gone.
#[tokio::test]
async fn rule_24_a_rebuild_is_recorded_even_if_its_client_hangs_up() {
    let api = Api::start().await;
    let mut held = api.pool.begin().await.unwrap();
    sqlx::query("lock table rebuilds in exclusive mode").execute(&mut *held).await.unwrap();
    let waits = "select exists (select from pg_locks l join pg_database d on d.oid = l.database
                                where not granted and relation = 'rebuilds'::regclass
                                  and datname = current_database())";
    api.post_and_hang_up(REBUILD, "k1", &json!({"reason": "a drill"}), waits).await;
    held.rollback().await.unwrap();
    assert_eq!(ended(&api).await["state"], "swapped");
    let recorded: Vec<(String, String, String)> =
        sqlx::query_as("select operation, operator, reason from operations")
            .fetch_all(&api.pool)
            .await
            .unwrap();
    let expected = ("projections.rebuild", "ops", "a drill");
    let recorded: Vec<_> =
        recorded.iter().map(|(what, by, why)| (what.as_str(), by.as_str(), why.as_str())).collect();
    assert_eq!(recorded, [expected]);
}

#[tokio::test]
async fn a_refused_change_of_a_rebuild_is_not_recorded() {
    let api = Api::start().await;
    let (held, _) = resumed(&api).await;
    let count = async || {
        let sql = "select count(*) from operations";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&api.pool).await.unwrap()
    };
    let before = count().await;
    let again = api.post(&operator(), REBUILD, &Value::Null, &[]).await;
    again.is_problem(409, "rebuild-running");
    let resume = api.post(&operator(), &format!("{REBUILD}/resume"), &Value::Null, &[]).await;
    resume.is_problem(409, "no-rebuild-running");
    assert_eq!(count().await, before);
    held.rollback().await.unwrap();
    ended(&api).await;
}
