//! `/openapi.json` describes what exists, and answers conform to it.

use axum::body::Body;
use axum::http::Method;
use serde_json::{Value, json};

use super::support::{
    Answer, Api, TASKS, action, auditor, client, operator, producer, request, token,
};

/// Makes the parts of a shape refuse undescribed fields, so that a forgotten field is noticed. A
/// shape itself may be part of a larger one, so only references to it can refuse.
fn refuse_more(shape: &mut Value) {
    match shape {
        Value::Object(fields) => {
            if fields.contains_key("$ref") {
                fields.insert("unevaluatedProperties".to_owned(), json!(false));
            }
            fields.values_mut().for_each(refuse_more);
        }
        Value::Array(items) => items.iter_mut().for_each(refuse_more),
        _ => {}
    }
}

fn refuse_more_in_fields(shape: &mut Value) {
    if let Some(fields) = shape.get_mut("properties").and_then(Value::as_object_mut) {
        fields.values_mut().for_each(refuse_more);
    }
    if let Some(parts) = shape.get_mut("allOf").and_then(Value::as_array_mut) {
        parts.iter_mut().for_each(refuse_more_in_fields);
    }
}

/// Checks that an answer conforms to its description.
#[track_caller]
fn conforms(description: &Value, method: &str, path: &str, answer: &Answer) {
    let status = answer.status.as_u16().to_string();
    let kind = answer.header("content-type");
    let response = &description["paths"][path][method]["responses"][&status];
    let schema = &response["content"][kind]["schema"];
    assert!(schema.is_object(), "{method} {path} {status} {kind} is not described: {response}");
    let mut whole =
        json!({"components": description["components"].clone(), "allOf": [schema.clone()]});
    let shapes = whole["components"]["schemas"].as_object_mut().unwrap();
    shapes.values_mut().for_each(refuse_more_in_fields);
    whole["unevaluatedProperties"] = json!(false);
    let validator = jsonschema::draft202012::new(&whole).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&answer.body)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{method} {path}: {errors:#?}\n{}", answer.text);
}

#[tokio::test]
async fn answers_are_as_described() {
    let api = Api::start().await;
    let description = api.get("", "/openapi.json").await.body;
    assert_eq!(description["openapi"], "3.1.0");
    api.act("u42", "gift.sent", "g1", json!({"coins": 150})).await;
    let all = token(json!({"sub": "u42", "roles": ["client", "producer", "auditor", "operator"]}));
    let post = async |path: &str, sent: &str, body: Value| {
        let answer = api.post(&all, sent, &body, &[]).await;
        conforms(&description, "post", path, &answer);
    };
    let get = async |path: &str, sent: &str| {
        let answer = api.get(&all, sent).await;
        conforms(&description, "get", path, &answer);
    };
    let mut late = action("u42", "gift.sent", "g2", json!({}));
    late["time"] = json!("2999-01-01T00:00:00Z");
    post(
        "/v1/actions",
        "/v1/actions",
        json!([late, action("u42", "team.formed", "t1", json!({})), 1]),
    )
    .await;
    get("/v1/users/{user}/tasks", "/v1/users/u42/tasks").await;
    get("/v1/users/{user}/tasks", "/v1/users/u42/tasks?state=x").await;
    get("/v1/users/{user}/tasks/{task}", "/v1/users/u42/tasks/daily-gifts").await;
    post("/v1/users/{user}/tasks/{task}/claim", "/v1/users/u42/tasks/first-team/claim", json!({}))
        .await;
    post("/v1/users/{user}/tasks/{task}/claim", "/v1/users/u42/tasks/first-team/claim", json!({}))
        .await;
    post("/v1/users/{user}/claims", "/v1/users/u42/claims", Value::Null).await;
    get("/v1/users/{user}/rewards", "/v1/users/u42/rewards").await;
    get("/v1/audit/users/{user}/history", "/v1/audit/users/u42/history").await;
    get("/v1/audit/users/{user}/state", "/v1/audit/users/u42/state?at=1").await;
    get("/v1/audit/users/{user}/verify", "/v1/audit/users/u42/verify").await;
    let rewards = api.get(&all, "/v1/users/u42/rewards").await;
    let grant = rewards.body["rewards"][0]["grant"].as_str().unwrap().to_owned();
    get("/v1/audit/grants/{grant}", &format!("/v1/audit/grants/{grant}")).await;
    get("/v1/tasks", "/v1/tasks").await;
    get("/v1/catalogue", "/v1/catalogue").await;
    get("/v1/tasks/{task}", "/v1/tasks/first-team").await;
    get("/v1/tasks/{task}/versions", "/v1/tasks/first-team/versions").await;
    post("/v1/tasks/publish", "/v1/tasks/publish", json!({"tasks": []})).await;
    let grant = api.get(&all, "/v1/grants").await.body["grants"][0]["grant"].clone();
    let grant = grant.as_str().unwrap();
    get("/v1/grants", "/v1/grants").await;
    get("/v1/grants/{grant}", &format!("/v1/grants/{grant}")).await;
    let reason = json!({"reason": "it is mended"});
    post("/v1/grants/{grant}/redeliver", &format!("/v1/grants/{grant}/redeliver"), reason).await;
    get("/v1/parked", "/v1/parked").await;
    let parked = api.get(&all, "/v1/parked").await.body["parked"][0]["id"].clone();
    let parked = |verb: &str| format!("/v1/parked/{}/{verb}", parked.as_str().unwrap());
    post("/v1/parked/{id}/release", &parked("release"), Value::Null).await;
    post("/v1/parked/{id}/discard", &parked("discard"), json!({"reason": "a test"})).await;
    let input =
        json!({"user": "u42", "actions": [action("u42", "gift.sent", "g9", json!({"coins": 5}))]});
    post("/v1/tasks/simulate", "/v1/tasks/simulate", input).await;
    let asked =
        json!({"user": "u42", "action": action("u42", "gift.sent", "g9", json!({"coins": 5}))});
    post("/v1/tasks/{task}/why", "/v1/tasks/daily-gifts/why", asked).await;
    let changed = TASKS.replace("Send gifts", "Send many gifts");
    let file = json!(plaudit_task_file::to_json(&plaudit_task_file::parse(&changed).unwrap()));
    let file: Value = serde_json::from_str(file.as_str().unwrap()).unwrap();
    post("/v1/tasks/plan", "/v1/tasks/plan", file).await;
    post("/v1/tasks/{task}/pause", "/v1/tasks/first-team/pause", Value::Null).await;
    post("/v1/tasks/{task}/resume", "/v1/tasks/first-team/resume", Value::Null).await;
    post("/v1/tasks/{task}/retire", "/v1/tasks/first-team/retire", Value::Null).await;
    get("/v1/projections", "/v1/projections").await;
    get("/v1/projections/{name}/rebuild", "/v1/projections/task_view/rebuild").await;
    post("/v1/projections/{name}/rebuild", "/v1/projections/reward_state/rebuild", Value::Null)
        .await;
    get("/v1/projections/{name}/rebuild", "/v1/projections/reward_state/rebuild").await;
    get("/livez", "/livez").await;
    get("/readyz", "/readyz").await;
}

#[tokio::test]
async fn exactly_the_described_methods_are_taken() {
    let api = Api::start().await;
    let description = api.get("", "/openapi.json").await.body;
    let callers = [client("u42"), producer(), auditor(), operator()];
    for (path, item) in description["paths"].as_object().unwrap() {
        let sent = path
            .replace("{user}", "u42")
            .replace("{task}", "first-team")
            .replace("{grant}", "00000000-0000-0000-0000-000000000000")
            .replace("{id}", "00000000-0000-0000-0000-000000000000")
            .replace("/problems/{name}", "/problems/bad-input")
            .replace("{name}", "nothing");
        for method in ["get", "put", "post", "delete", "patch", "options"] {
            // Its answer does not end by itself.
            if path.ends_with("/stream") && method == "get" {
                continue;
            }
            let as_sent = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
            let mut statuses = vec![];
            for caller in &callers {
                statuses.push(
                    api.send(request(as_sent.clone(), &sent, caller, &[], Body::empty()))
                        .await
                        .status,
                );
            }
            let taken = statuses.iter().any(|status| *status != 405 && *status != 403);
            assert_eq!(taken, item.get(method).is_some(), "{method} {path}: {statuses:?}");
            let closed = path.starts_with("/v1/");
            if let Some(operation) = item.get(method) {
                let security = operation["security"].as_array().unwrap();
                assert_eq!(!security.is_empty(), closed, "{method} {path}");
            }
        }
    }
}

/// Checks what common client generators stumble over.
#[tokio::test]
async fn the_description_is_fit_for_generators() {
    let api = Api::start().await;
    let description = api.get("", "/openapi.json").await.body;
    assert_eq!(description["servers"][0]["url"], "/");
    let tags: Vec<_> =
        description["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
    assert!(description["tags"].as_array().unwrap().iter().all(|t| t["description"].is_string()));
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(tags.contains(&operation["tags"][0]), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            for parameter in parameters {
                assert!(parameter["description"].is_string(), "{method} {path}: {parameter}");
            }
        }
    }
    let claim = &description["paths"]["/v1/users/{user}/tasks/{task}/claim"]["post"]["requestBody"];
    assert_eq!(claim["required"], false);
    let schema = &claim["content"]["application/json"]["schema"];
    assert_eq!(schema, &json!({"$ref": "#/components/schemas/Claim"}));
}

#[tokio::test]
async fn actions_are_described_in_all_their_forms() {
    let api = Api::start().await;
    let description = api.get("", "/openapi.json").await.body;
    let send = &description["paths"]["/v1/actions"]["post"];
    // Some generators can't compile a choice between an object and an array, so each media type
    // describes one form, although both are accepted.
    let is_valid = |kind: &str, body: &Value| {
        let schema = &send["requestBody"]["content"][kind]["schema"];
        let whole = json!({"components": description["components"], "allOf": [schema]});
        jsonschema::draft202012::new(&whole).unwrap().is_valid(body)
    };
    let one = action("u42", "gift.sent", "g1", json!({}));
    for many in ["application/json", "application/cloudevents-batch+json"] {
        assert!(is_valid(many, &json!([one, one])) && !is_valid(many, &json!([])));
    }
    let single = "application/cloudevents+json";
    assert!(is_valid(single, &one) && !is_valid(single, &json!({})));
    let parameters = send["parameters"].as_array().unwrap();
    let headers: Vec<_> = parameters.iter().map(|p| p["name"].as_str().unwrap()).collect();
    let binary = ["ce-specversion", "ce-source", "ce-id", "ce-type", "ce-subject", "ce-time"];
    assert_eq!(headers, binary);
    assert!(parameters.iter().all(|p| p["in"] == "header" && p["required"] == false));
}
