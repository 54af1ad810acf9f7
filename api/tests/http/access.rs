//! The permissions of roles, and the order of refusals.

use axum::body::Body;
use axum::http::Method;
use plaudit_api::auth::KeyOptions;
use serde_json::json;

use super::support::{Api, SECRET, auditor, client, operator, producer, request, token};

/// Permissions per operation for: own client, another client, a backend, producer, auditor,
/// operator.
const TABLE: &[(&str, &str, [bool; 6])] = &[
    ("GET", "/v1/users/u42/tasks", [true, false, true, false, true, true]),
    ("HEAD", "/v1/users/u42/tasks", [true, false, true, false, true, true]),
    ("GET", "/v1/users/u42/tasks/first-team", [true, false, true, false, true, true]),
    ("GET", "/v1/users/u42/rewards", [true, false, true, false, true, true]),
    ("POST", "/v1/users/u42/tasks/first-team/claim", [true, false, true, false, false, false]),
    ("POST", "/v1/users/u42/claims", [true, false, true, false, false, false]),
    ("POST", "/v1/actions", [false, false, false, true, false, false]),
    ("GET", "/v1/audit/users/u42/history", [false, false, false, false, true, false]),
    ("GET", "/v1/audit/users/u42/state", [false, false, false, false, true, false]),
    ("GET", "/v1/audit/operations", [false, false, false, false, true, false]),
    ("GET", "/v1/tasks", [false, false, false, false, true, true]),
    ("GET", "/v1/catalogue", [false, false, false, false, true, true]),
    ("GET", "/v1/tasks/first-team", [false, false, false, false, true, true]),
    ("GET", "/v1/tasks/first-team/versions", [false, false, false, false, true, true]),
    ("POST", "/v1/tasks/publish", [false, false, false, false, false, true]),
    ("POST", "/v1/tasks/first-team/why", [false, false, false, false, false, true]),
    ("GET", "/v1/grants", [false, false, false, false, true, true]),
    ("GET", "/v1/grants/x", [false, false, false, false, true, true]),
    ("POST", "/v1/grants/x/redeliver", [false, false, false, false, false, true]),
    ("POST", "/v1/grants/redeliver", [false, false, false, false, false, true]),
    ("GET", "/v1/parked", [false, false, false, false, false, true]),
    ("GET", "/v1/projections", [false, false, false, false, false, true]),
    ("GET", "/v1/projections/task_view/rebuild", [false, false, false, false, false, true]),
    ("POST", "/v1/projections/nothing/rebuild", [false, false, false, false, false, true]),
    ("POST", "/v1/projections/task_view/rebuild/pause", [false, false, false, false, false, true]),
    ("POST", "/v1/projections/task_view/rebuild/resume", [false, false, false, false, false, true]),
    ("POST", "/v1/projections/task_view/rebuild/cancel", [false, false, false, false, false, true]),
];

#[tokio::test]
async fn each_role_may_do_what_the_table_says_and_nothing_else() {
    let api = Api::start().await;
    let backend = token(json!({"sub": "game", "roles": ["client"], "act_for": "*"}));
    let callers = [client("u42"), client("u43"), backend, producer(), auditor(), operator()];
    for (method, path, allowed) in TABLE {
        let send = async |token: &str| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            api.send(request(method, path, token, &[], Body::empty())).await
        };
        let anonymous = send("").await;
        assert_eq!(anonymous.status, 401, "{method} {path}");
        assert_eq!(anonymous.header("www-authenticate"), "Bearer");
        for (who, (token, allowed)) in callers.iter().zip(allowed).enumerate() {
            let status = send(token).await.status.as_u16();
            let refused = status == 401 || status == 403;
            assert_eq!(refused, !allowed, "{method} {path} by caller {who}: {status}");
        }
    }
}

#[tokio::test]
async fn refusals_come_in_the_order_of_the_contract() {
    let api = Api::start().await;
    let status = async |method: &str, path: &str, token: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        api.send(request(method, path, token, &[("content-type", "text/plain")], "{".into()))
            .await
            .status
            .as_u16()
    };
    assert_eq!(status("GET", "/v1/nothing", "").await, 401);
    assert_eq!(status("GET", "/nothing", "").await, 401);
    assert_eq!(status("GET", "/v1/nothing", &operator()).await, 404);
    assert_eq!(status("DELETE", "/v1/parked", &client("u42")).await, 403);
    assert_eq!(status("DELETE", "/v1/parked", &operator()).await, 405);
    assert_eq!(status("GET", "/v1/audit/nothing", &operator()).await, 403);
    assert_eq!(status("GET", "/v1/audit/nothing", &auditor()).await, 404);
    assert_eq!(status("GET", "/v1/actions", &producer()).await, 405);
    assert_eq!(status("POST", "/v1/actions", &operator()).await, 403);
    assert_eq!(status("POST", "/v1/actions", &producer()).await, 415);
    assert_eq!(status("PUT", "/v1/users/u42/tasks", &client("u43")).await, 403);
    assert_eq!(status("PUT", "/v1/users/u42/tasks", &client("u42")).await, 405);
    assert_eq!(status("GET", "/v1/users/%07/tasks", &client("u42")).await, 403);
    assert_eq!(status("GET", "/v1/users/%07/tasks", &operator()).await, 400);
    assert_eq!(status("POST", "/livez", "").await, 405);
}

/// Takes the operations from the description, so that none is left out.
#[tokio::test]
async fn whatever_an_operation_is_sent_what_it_is_about_must_be_there_first() {
    let api = Api::start().await;
    let description = api.get("", "/openapi.json").await.body;
    let roles = ["client", "producer", "auditor", "operator"];
    let all = token(json!({"sub": "u42", "roles": roles}));
    let inputs = [
        ("application/json", "[]"),
        ("application/json", r#"{"no_such_field": 1}"#),
        ("application/json", "{"),
        ("text/plain", "x"),
        ("text/plain", ""),
    ];
    let mut asked = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        let unknown = ["{task}", "{grant}", "{id}", "{name}"];
        let is_about_one = unknown.iter().any(|name| path.contains(name));
        if !is_about_one || !path.starts_with("/v1/") || item.get("post").is_none() {
            continue;
        }
        asked += 1;
        for id in ["nothing", "00000000-0000-0000-0000-000000000000"] {
            let sent = path.replace("{user}", "u42");
            let sent = unknown.iter().fold(sent, |sent, name| sent.replace(name, id));
            for (kind, body) in inputs {
                let headers = [("content-type", kind), ("idempotency-key", "two words")];
                let sent = request(Method::POST, &sent, &all, &headers, body.into());
                let answer = api.send(sent).await;
                assert_eq!(answer.status, 404, "{path} {id} {kind} {body}: {}", answer.text);
            }
        }
    }
    assert!(asked >= 20, "{asked} operations");
}

#[tokio::test]
async fn a_missing_resource_is_reported_before_bad_input() {
    let api = Api::start().await;
    let (client, all) =
        (client("u42"), token(json!({"sub": "x", "roles": ["auditor", "operator"]})));
    let claim = "/v1/users/u42/tasks/nothing/claim";
    for body in [json!({"milestone": "x"}), json!([]), json!({"other": 1})] {
        api.post(&client, claim, &body, &[]).await.is_problem(404, "unknown-task");
    }
    let key = [("idempotency-key", "two words")];
    api.post(&client, claim, &json!({}), &key).await.is_problem(404, "unknown-task");
    let text = [("content-type", "text/plain")];
    let sent = request(Method::POST, claim, &client, &text, "x".into());
    api.send(sent).await.is_problem(404, "unknown-task");
    for path in [
        "/v1/users/u42/tasks/nothing?at_least=x",
        "/v1/users/u42/tasks/%ff",
        "/v1/users/u42/tasks/%ff?at_least=x",
    ] {
        api.get(&client, path).await.is_problem(404, "unknown-task");
    }
    api.get(&all, "/v1/tasks/nothing/versions?limit=0").await.is_problem(404, "unknown-task");
    for path in ["/v1/projections/nothing/rebuild?restart=x", "/v1/projections/%ff/rebuild"] {
        let answer = api.post(&all, path, &json!(null), &[]).await;
        answer.is_problem(404, "unknown-projection");
    }
    // Existing items are checked further, and any user id may exist.
    let known = "/v1/users/u42/tasks/first-team";
    api.get(&client, &format!("{known}?at_least=x")).await.is_problem(400, "bad-input");
    api.post(&client, &format!("{known}/claim"), &json!([]), &[])
        .await
        .is_problem(400, "bad-input");
    api.get(&all, "/v1/tasks/first-team/versions?limit=0").await.is_problem(400, "bad-input");
    let answer =
        api.post(&all, "/v1/projections/task_view/rebuild?restart=x", &json!(null), &[]).await;
    answer.is_problem(400, "bad-input");
    for path in
        ["/v1/users/%00/tasks/nothing", "/v1/users/%ff/tasks/nothing", "/v1/users/%ff/tasks/%ff"]
    {
        let answer = api.get(&all, path).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["parameter"], "user");
    }
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_the_api() {
    const ORIGIN: &str = "https://app.example";
    let keys = KeyOptions { hs256_secret: Some(SECRET.to_owned()), ..KeyOptions::default() };
    let api = Api::with(keys, 1_000_000, &[ORIGIN]).await;
    let path = "/v1/users/u42/tasks/first-team/claim";
    let preflight = async |origin: &str| {
        let asked = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,idempotency-key"),
        ];
        api.send(request(Method::OPTIONS, path, "", &asked, Body::empty())).await
    };
    let allowed = preflight(ORIGIN).await;
    assert_eq!(allowed.status.as_u16(), 200, "a preflight has no token");
    assert_eq!(allowed.header("access-control-allow-origin"), ORIGIN);
    assert!(allowed.header("access-control-allow-headers").contains("idempotency-key"));
    let other = preflight("https://other.example").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    // The page can read a refusal, too.
    let refused = api.get_with("", "/v1/users/u42/tasks", &[("origin", ORIGIN)]).await;
    refused.is_problem(401, "unauthenticated");
    assert_eq!(refused.header("access-control-allow-origin"), ORIGIN);
}

#[tokio::test]
async fn roles_add_up_and_unknown_ones_are_none() {
    let api = Api::start().await;
    let both = token(json!({"sub": "x", "roles": ["auditor", "producer", "emperor"]}));
    assert_eq!(api.get(&both, "/v1/users/u42/tasks").await.status, 200);
    assert_eq!(api.get(&both, "/v1/parked").await.status, 403);
    for roles in [json!([]), json!(["emperor"]), json!([1, null]), json!(["Client"])] {
        let nobody = token(json!({"sub": "u42", "roles": roles, "act_for": "*"}));
        api.get(&nobody, "/v1/users/u42/tasks").await.is_problem(403, "forbidden");
    }
    api.get(&token(json!({"sub": "u42"})), "/v1/users/u42/tasks")
        .await
        .is_problem(403, "forbidden");
}

#[tokio::test]
async fn only_a_clients_star_acts_for_others() {
    let api = Api::start().await;
    for claims in [
        json!({"sub": "x", "roles": ["client"], "act_for": "u42"}),
        json!({"sub": "x", "roles": ["client"], "act_for": ["*"]}),
        json!({"sub": "x", "roles": ["client"], "act_for": true}),
        json!({"sub": "x", "roles": ["producer"], "act_for": "*"}),
    ] {
        assert_eq!(api.get(&token(claims), "/v1/users/u42/tasks").await.status, 403);
    }
    let auditor = token(json!({"sub": "x", "roles": ["auditor"], "act_for": "*"}));
    assert_eq!(api.post(&auditor, "/v1/users/u42/claims", &json!(null), &[]).await.status, 403);
}

#[tokio::test]
async fn a_users_id_is_compared_as_it_was_meant() {
    let api = Api::start().await;
    let odd = "a/b c%ü首";
    let path = "/v1/users/a%2Fb%20c%25%C3%BC%E9%A6%96/tasks";
    let answer = api.get(&client(odd), path).await;
    assert_eq!((answer.status.as_u16(), &answer.body["user"]), (200, &json!(odd)));
    assert_eq!(api.get(&client("a"), path).await.status, 403);
}
