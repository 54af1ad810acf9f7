//! Publishing, rebuilding, and parked records.

use axum::http::Method;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use uuid::Uuid;

use super::support::{Api, TASKS, action, auditor, client, operator, producer, request};

async fn publish(api: &Api, kind: &str, text: &str) -> super::support::Answer {
    let headers = [("content-type", kind)];
    api.send(request(
        Method::POST,
        "/v1/tasks/publish",
        &operator(),
        &headers,
        text.to_owned().into(),
    ))
    .await
}

/// Rule 9: the previous version stays as it was.
#[tokio::test]
async fn a_publication_is_seen_at_once() {
    let api = Api::start().await;
    assert_eq!(api.get(&client("u42"), "/v1/users/u42/tasks").await.body["tasks"][0]["version"], 1);
    let changed = TASKS.replace("Form your first team", "Found a team");
    let answer = publish(&api, "application/yaml", &changed).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let expected = json!([
        {"task": "first-team", "version": 2, "changed": true}, {"task": "daily-gifts", "version": 1, "changed": false},
    ]);
    assert_eq!(answer.body["published"], expected);
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks").await;
    assert_eq!(shown.body["tasks"][0]["title"], "Found a team");
    let versions = api.get(&auditor(), "/v1/tasks/first-team/versions").await;
    let numbers: Vec<_> = versions.body["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["version"].clone())
        .collect();
    assert_eq!(numbers, [json!(1), json!(2)]);
    let task = api.get(&auditor(), "/v1/tasks/first-team").await;
    assert_eq!((&task.body["version"], &task.body["status"]), (&json!(2), &json!("active")));
    assert_eq!(task.body["definition"]["text"]["en"]["title"], "Found a team");
    let catalogue = api.get(&auditor(), "/v1/catalogue").await;
    let titles = catalogue.body["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (task["id"].clone(), task["definition"]["text"]["en"]["title"].clone()));
    let titles: Vec<_> = titles.collect();
    assert_eq!((titles.len(), &titles[1]), (2, &(json!("first-team"), json!("Found a team"))));
    assert_eq!(catalogue.body["revision"], 2, "{}", catalogue.text);
    let page = api.get(&auditor(), "/v1/tasks?limit=1").await;
    assert_eq!(
        (&page.body["tasks"][0]["id"], &page.body["next"]),
        (&json!("daily-gifts"), &json!("daily-gifts"))
    );
    let page = api.get(&auditor(), "/v1/tasks?limit=1&after=daily-gifts").await;
    assert_eq!(
        (&page.body["tasks"][0]["id"], &page.body["next"]),
        (&json!("first-team"), &json!(null))
    );
    api.get(&auditor(), "/v1/tasks/nothing").await.is_problem(404, "unknown-task");
}

#[tokio::test]
async fn rule_11_a_bad_file_is_refused_whole_with_every_fault() {
    let api = Api::start().await;
    let revision = async || {
        let identity = "select revision, identity from catalogue";
        sqlx::query_as::<_, (i64, Uuid)>(identity).fetch_one(&api.pool).await.unwrap()
    };
    let before = revision().await;
    let bad = TASKS.replace("kind: ordinary", "kind: odd").replace("every: day", "every: dai");
    let answer = publish(&api, "application/yaml", &bad).await;
    answer.is_problem(400, "bad-input");
    let errors = answer.body["errors"].as_array().unwrap();
    assert!(errors.len() >= 2, "{}", answer.text);
    assert_eq!(errors[0]["pointer"], "/tasks/0/kind");
    assert!(errors[0]["line"].is_number() && errors[0]["detail"].is_string());
    let conflicting = TASKS.replace("order: 10", "requires: [ nothing ]");
    let answer = publish(&api, "application/yaml", &conflicting).await;
    answer.is_problem(400, "bad-input");
    assert_eq!(answer.body["errors"][0]["pointer"], "/tasks/0/requires/0");
    publish(&api, "text/plain", &TASKS).await.is_problem(415, "unsupported-media-type");
    assert_eq!(api.get(&auditor(), "/v1/tasks/first-team").await.body["version"], 1);
    // A valid task beside an invalid one is not published either, whether the file or the catalogue
    // is the reason.
    let good = "tasks:\n- { id: good, kind: ordinary, objective: { on: x, target: 1 } }\n";
    for bad in [
        "- { id: bad, kind: ordinary, objective: { on: x, target: 0 } }\n",
        "- { id: bad, kind: ordinary, requires: [ nothing ], objective: { on: x, target: 1 } }\n",
    ] {
        let refused = publish(&api, "application/yaml", &format!("{good}{bad}")).await;
        refused.is_problem(400, "bad-input");
        let pointer = refused.body["errors"][0]["pointer"].as_str().unwrap();
        assert!(pointer.starts_with("/tasks/1/"), "{}", refused.text);
        api.get(&auditor(), "/v1/tasks/good").await.is_problem(404, "unknown-task");
    }
    assert_eq!(revision().await, before);
}

/// Rule 21.
#[tokio::test]
async fn parked_records_are_listed_with_their_bytes() {
    let api = Api::start().await;
    for id in ["a", "b", "c"] {
        let mut bad = action("u42", "gift.sent", id, json!({}));
        bad["specversion"] = json!("0.3");
        api.post(&producer(), "/v1/actions", &bad, &[]).await;
    }
    let mut path = "/v1/parked?limit=2".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = api.get(&operator(), &path).await;
        for parked in page.body["parked"].as_array().unwrap() {
            let mut fields: Vec<_> =
                parked.as_object().unwrap().keys().map(String::as_str).collect();
            fields.sort_unstable();
            let all = [
                "at",
                "bytes",
                "headers",
                "id",
                "offset",
                "partition",
                "reason",
                "repairable",
                "topic",
                "user",
            ];
            assert_eq!(fields, all);
            assert_eq!((&parked["user"], &parked["repairable"]), (&json!("u42"), &json!(false)));
            let bytes = BASE64_STANDARD.decode(parked["bytes"].as_str().unwrap()).unwrap();
            let sent: Value = serde_json::from_slice(&bytes).unwrap();
            ids.push(sent["id"].clone());
        }
        let Some(next) = page.body["next"].as_str() else { break };
        path = format!("/v1/parked?limit=2&after={next}");
    }
    assert_eq!(ids, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_rebuild_is_started_watched_and_refused_where_there_is_none() {
    let api = Api::start().await;
    api.act("u42", "gift.sent", "g1", json!({"coins": 5})).await;
    let rebuild = "/v1/projections/task_view/rebuild";
    api.get(&operator(), rebuild).await.is_problem(404, "no-rebuild");
    api.post(&operator(), &format!("{rebuild}/pause"), &json!(null), &[])
        .await
        .is_problem(409, "no-rebuild-running");
    let nothing = "/v1/projections/nothing/rebuild";
    api.post(&operator(), nothing, &json!(null), &[]).await.is_problem(404, "unknown-projection");
    let answer = api.post(&operator(), rebuild, &json!(null), &[]).await;
    assert_eq!((answer.status.as_u16(), &answer.body["projection"]), (202, &json!("task_view")));
    let swapped = async {
        loop {
            let status = api.get(&operator(), rebuild).await;
            if status.body["state"] == "swapped" {
                return status.body;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let status = tokio::time::timeout(std::time::Duration::from_secs(60), swapped).await.unwrap();
    assert!(status["events"].as_i64() >= Some(1), "{status}");
    assert_eq!(status["skipped_users"], 0, "{status}");
    let all = api.get(&operator(), "/v1/projections").await;
    let names: Vec<_> =
        all.body["projections"].as_array().unwrap().iter().map(|p| p["name"].clone()).collect();
    assert_eq!(names, [json!("task_view"), json!("reward_state")]);
    assert_eq!(all.body["next"], json!(null));
    let first = api.get(&operator(), "/v1/projections?limit=1").await;
    assert_eq!(first.body["next"], "task_view", "{}", first.text);
    let second = api.get(&operator(), "/v1/projections?limit=1&after=task_view").await;
    assert_eq!(second.body["projections"][0]["name"], "reward_state");
    assert_eq!(second.body["next"], json!(null));
    for wrong in ["limit=0", "limit=1001", "after=nothing"] {
        let refused = api.get(&operator(), &format!("/v1/projections?{wrong}")).await;
        refused.is_problem(400, "bad-input");
    }
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
    assert_eq!(shown.body["progress"], 5);
}

#[tokio::test]
async fn a_page_of_parked_records_ends_before_it_grows_large() {
    let api = Api::start().await;
    // Two records of nine megabytes and a small one.
    let large = "x".repeat(9 * 1024 * 1024);
    for (id, data) in [("a", large.as_str()), ("b", large.as_str()), ("c", "")] {
        let sent = action("u42", "gift.sent", id, data);
        // A busy machine answers 503 to such a large request; a producer sends it again.
        let accepted = async {
            loop {
                let answer = api.post(&producer(), "/v1/actions", &sent, &[]).await;
                if answer.status != 503 {
                    return answer;
                }
            }
        };
        let limit = std::time::Duration::from_secs(60);
        let answer = tokio::time::timeout(limit, accepted).await.unwrap();
        let outcome = answer.body["outcomes"][0]["outcome"].as_str();
        assert!(matches!(outcome, Some("parked" | "duplicate")), "{}", answer.text);
    }
    let page = async |query: &str| {
        let answer = api.get(&operator(), &format!("/v1/parked{query}")).await;
        let count = answer.body["parked"].as_array().unwrap().len();
        (count, answer.body["next"].as_str().map(str::to_owned))
    };
    let (count, next) = page("").await;
    assert_eq!(count, 1);
    let (count, end) = page(&format!("?after={}", next.unwrap())).await;
    assert_eq!((count, end), (2, None));
}

#[tokio::test]
async fn a_task_file_above_the_limit_is_too_large() {
    let api = Api::start().await;
    let fits = format!("{}#{}", *TASKS, "x".repeat(4 * 1024 * 1024 - TASKS.len() - 1));
    assert_eq!(publish(&api, "application/yaml", &fits).await.status, 200);
    publish(&api, "application/yaml", &format!("{fits}x")).await.is_problem(413, "too-large");
}
