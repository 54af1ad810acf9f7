//! Every refusal is a problem, including those of the framework.

use axum::body::Body;
use axum::http::Method;
use serde_json::json;

use super::support::{Api, action, auditor, client, operator, producer, request};

#[tokio::test]
async fn what_the_router_refuses_is_a_problem() {
    let api = Api::start().await;
    api.get(&operator(), "/v1/nothing").await.is_problem(404, "no-such-path");
    api.get(&operator(), "/v1/users/u42/tasks/").await.is_problem(404, "no-such-path");
    let answer = api.post(&client("u42"), "/v1/users/u42/tasks", &json!({}), &[]).await;
    answer.is_problem(405, "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let text = [("content-type", "text/plain")];
    let answer =
        api.send(request(Method::POST, "/v1/actions", &producer(), &text, "x".into())).await;
    answer.is_problem(415, "unsupported-media-type");
    let large = vec![b' '; 16 * 1024 * 1024 + 1];
    let json = [("content-type", "application/json")];
    let answer =
        api.send(request(Method::POST, "/v1/actions", &producer(), &json, large.into())).await;
    answer.is_problem(413, "too-large");
}

#[tokio::test]
async fn bad_input_is_reported_with_its_place() {
    let api = Api::start().await;
    let parameters = [
        ("/v1/users/%00/tasks", "user"),
        ("/v1/users/%ff/tasks", "user"),
        ("/v1/users//tasks", "user"),
        ("/v1/users/u42/tasks?state=done", "state"),
        ("/v1/users/u42/tasks?at_least=x", "at_least"),
        ("/v1/users/u42/rewards?state=won", "state"),
        ("/v1/users/u42/rewards?limit=0", "limit"),
        ("/v1/users/u42/rewards?limit=1001", "limit"),
        ("/v1/users/u42/rewards?limit=ten", "limit"),
        ("/v1/users/u42/rewards?after=x", "after"),
        ("/v1/users/u42/rewards?limit=1&limit=2", "limit"),
        ("/v1/audit/users/u42/history?after=x", "after"),
        ("/v1/audit/users/u42/history?from=yesterday", "from"),
        ("/v1/audit/users/u42/state?at=then", "at"),
        ("/v1/tasks?limit=-1", "limit"),
        ("/v1/users/%zz/tasks", "user"),
        ("/v1/users/100%/tasks", "user"),
        ("/v1/users/u42/tasks/%f", "task"),
        ("/v1/users/u42/tasks?locale=%zz", "locale"),
        ("/v1/users/u42/tasks?locale=%ff", "locale"),
        ("/v1/grants?code=%00", "code"),
        ("/v1/tasks/%", "task"),
    ];
    for (path, parameter) in parameters {
        let answer = api.get(&auditor(), path).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["parameter"], parameter, "{path}");
        assert!(answer.body["errors"][0]["detail"].is_string());
    }
    let long = format!("/v1/users/{}/tasks", "u".repeat(257));
    api.get(&auditor(), &long).await.is_problem(400, "bad-input");
    let user = format!("/v1/users/{}/tasks", "u".repeat(256));
    assert_eq!(api.get(&auditor(), &user).await.status, 200);
}

#[tokio::test]
async fn what_needs_no_token_answers_without() {
    let api = Api::start().await;
    for path in ["/", "/problems", "/livez", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(api.get("", path).await.status, 200, "{path}");
    }
    let answer = api.send(request(Method::HEAD, "/livez", "", &[], Body::empty())).await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_a_page_that_explains_it() {
    let api = Api::start().await;
    let refusal = api.get("", "/v1/users/u42/tasks").await;
    let page = api.get("", refusal.body["type"].as_str().unwrap()).await;
    assert_eq!(
        (page.status.as_u16(), page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert!(
        page.text.contains("No valid token") && page.text.contains("What to do"),
        "{}",
        page.text
    );
    let all = api.get("", "/problems").await;
    assert!(all.text.contains("href=/problems/nothing-claimable"), "{}", all.text);
    api.get("", "/problems/invented").await.is_problem(404, "no-such-path");
    let home = api.get("", "/").await;
    assert!(
        home.text.contains(env!("CARGO_PKG_VERSION")) && home.text.contains("is ready"),
        "{}",
        home.text
    );
}

#[tokio::test]
async fn a_lost_database_is_503_and_comes_back_to_the_client_soon() {
    let api = Api::start().await;
    api.pool.close().await;
    for path in ["/v1/users/u42/tasks", "/v1/users/u42/rewards"] {
        let answer = api.get(&client("u42"), path).await;
        answer.is_problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "1");
    }
    let claim = api.post(&client("u42"), "/v1/users/u42/claims", &json!({}), &[]).await;
    claim.is_problem(503, "unavailable");
    let sent = action("u42", "gift.sent", "g1", json!({}));
    let sent = api.post(&producer(), "/v1/actions", &sent, &[]).await;
    sent.is_problem(503, "unavailable");
    assert_eq!(api.get("", "/livez").await.status, 200);
}
