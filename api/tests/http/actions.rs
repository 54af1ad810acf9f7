//! Actions over HTTP.

use axum::http::Method;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};

use super::support::{Api, action, client, operator, producer, request};

const PATH: &str = "/v1/actions";

/// Rules 3, 5 and 21: actions from the future and elements that are not actions are parked once,
/// with their reasons.
#[tokio::test]
async fn each_element_has_its_own_outcome_in_the_order_sent() {
    let api = Api::start().await;
    let good = action("u42", "gift.sent", "g1", json!({"coins": 5}));
    let mut future = action("u42", "gift.sent", "g2", json!({"coins": 5}));
    future["time"] = json!("2999-01-01T00:00:00Z");
    let mut timeless = action("u42", "gift.sent", "g3", json!({}));
    timeless.as_object_mut().unwrap().remove("time");
    let sent =
        json!([good, future, timeless, 7, action("u42", "unknown.type", "g4", json!({})), good]);
    let answer = api.post(&producer(), PATH, &sent, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let outcomes = answer.body["outcomes"].as_array().unwrap();
    let names: Vec<_> = outcomes.iter().map(|o| o["outcome"].as_str().unwrap()).collect();
    assert_eq!(names, ["accepted", "parked", "parked", "parked", "accepted", "duplicate"]);
    let ids: Vec<_> = outcomes.iter().map(|o| o["id"].clone()).collect();
    assert_eq!(ids, [json!("g1"), json!("g2"), json!("g3"), Value::Null, json!("g4"), json!("g1")]);
    assert!(outcomes[0]["position"].is_string() && outcomes[5]["position"].is_string());
    assert!(outcomes[1]["reason"].as_str().unwrap().contains("future"));
    assert!(outcomes[2]["reason"].as_str().unwrap().contains("time"));
    assert_eq!(answer.header("plaudit-position"), outcomes[0]["position"].as_str().unwrap());
    let parked = api.get(&operator(), "/v1/parked").await;
    let mut ids: Vec<_> =
        parked.body["parked"].as_array().unwrap().iter().map(|p| p["id"].clone()).collect();
    let mut listed: Vec<_> = outcomes[1..4].iter().map(|o| o["parked"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    listed.sort_by_key(Value::to_string);
    assert_eq!(ids, listed);
    api.post(&producer(), PATH, &sent, &[]).await;
    let again = api.get(&operator(), "/v1/parked").await;
    assert_eq!(again.body, parked.body, "sent again, it is the same record");
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
    assert_eq!(shown.body["progress"], 5);
}

/// An action with a misspelt type is accepted but counts for nothing; only the metric shows it.
#[tokio::test]
async fn actions_that_no_task_listens_to_are_counted_by_type() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counted = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let api = Api::start().await;
    // The first batch loads the catalogue; before that, unmatched types are unknown.
    let first = action("u42", "gift.sent", "g0", json!({"coins": 5}));
    assert_eq!(api.post(&producer(), PATH, &first, &[]).await.status, 200);
    let sent = json!([
        action("u42", "gift.snet", "g1", json!({"coins": 5})),
        action("u42", "gift.snet", "g2", json!({"coins": 5})),
        action("u42", "gift.sent", "g3", json!({"coins": 5})),
    ]);
    let answer = api.post(&producer(), PATH, &sent, &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let shown = counted.render();
    assert!(shown.contains("plaudit_actions_unmatched_total{type=\"gift.snet\"} 2"), "{shown}");
    assert!(!shown.contains("gift.sent"), "{shown}");
}

#[tokio::test]
async fn one_position_is_reported_only_if_all_actions_lie_in_one_lane() {
    let api = Api::start().await;
    let other = api.user_beside("u42");
    let both = json!([
        action("u42", "gift.sent", "a", json!({"coins": 1})),
        action(&other, "gift.sent", "a", json!({"coins": 1}))
    ]);
    let answer = api.post(&producer(), PATH, &both, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.header("plaudit-position")), (200, ""));
}

#[tokio::test]
async fn a_parked_element_of_a_known_user_lies_in_a_lane_too() {
    let api = Api::start().await;
    let future = |user: &str, id: &str| {
        let mut action = action(user, "gift.sent", id, json!({"coins": 1}));
        action["time"] = json!("2999-01-01T00:00:00Z");
        action
    };
    let good = |id: &str| action("u42", "gift.sent", id, json!({"coins": 1}));
    let other = api.user_beside("u42");
    let apart = api.post(&producer(), PATH, &json!([good("a"), future(&other, "a")]), &[]).await;
    let names: Vec<_> =
        apart.body["outcomes"].as_array().unwrap().iter().map(|o| o["outcome"].clone()).collect();
    assert_eq!(names, [json!("accepted"), json!("parked")]);
    assert_eq!(apart.header("plaudit-position"), "", "{}", apart.text);
    let lane = format!("{}:", api.lane_of("u42").0);
    // Elements without a user do not affect the position.
    for beside in [future("u42", "b"), json!(7)] {
        let together = api.post(&producer(), PATH, &json!([good("c"), beside]), &[]).await;
        let position = together.header("plaudit-position");
        assert!(position.starts_with(&lane), "{position} {}", together.text);
    }
}

#[tokio::test]
async fn all_forms_of_an_action_are_read() {
    let api = Api::start().await;
    let one = action("u42", "gift.sent", "a", json!({"coins": 1}));
    let batch = json!([action("u42", "gift.sent", "b", json!({"coins": 1}))]);
    for (kind, body) in [
        ("application/json; charset=utf-8", &one),
        ("application/cloudevents+json", &one),
        ("application/cloudevents-batch+json", &batch),
        ("application/json", &batch),
    ] {
        let sent = request(
            Method::POST,
            PATH,
            &producer(),
            &[("content-type", kind)],
            body.to_string().into(),
        );
        let answer = api.send(sent).await;
        assert_eq!(
            answer.body["outcomes"].as_array().map(Vec::len),
            Some(1),
            "{kind}: {}",
            answer.text
        );
    }
    let time = jiff::Timestamp::now().to_string();
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-source", "/test"),
        ("ce-id", "c"),
        ("ce-type", "gift.sent"),
        ("ce-subject", "u42"),
        ("ce-time", &time),
        ("content-type", "application/json"),
    ];
    let answer =
        api.send(request(Method::POST, PATH, &producer(), &headers, r#"{"coins":1}"#.into())).await;
    assert_eq!(answer.body["outcomes"][0]["outcome"], "accepted", "{}", answer.text);
    let shown = api.get(&client("u42"), "/v1/users/u42/tasks/daily-gifts").await;
    assert_eq!(shown.body["progress"], 3);
}

#[tokio::test]
async fn what_has_no_form_is_refused_whole() {
    let api = Api::start().await;
    for body in ["", "[]", "{", "7", "[{}"] {
        let json = [("content-type", "application/json")];
        let answer =
            api.send(request(Method::POST, PATH, &producer(), &json, body.to_owned().into())).await;
        answer.is_problem(400, "bad-input");
        assert_eq!(answer.body["errors"][0]["pointer"], "");
    }
    let many = Value::Array(vec![json!({}); 1001]);
    api.post(&producer(), PATH, &many, &[]).await.is_problem(413, "too-large");
    assert_eq!(api.get(&operator(), "/v1/parked").await.body["parked"], json!([]));
    let most = Value::Array(vec![json!({}); 1000]);
    let answer = api.post(&producer(), PATH, &most, &[]).await;
    assert_eq!(answer.body["outcomes"].as_array().map(Vec::len), Some(1000));
}

/// Rule 3: the tolerance is five minutes.
#[tokio::test]
async fn an_action_counts_up_to_the_tolerance_ahead_of_our_clock() {
    let api = Api::in_utc().await.at("2026-03-18T23:58:00Z").await;
    for (id, time, outcome) in [
        ("t1", "2026-03-19T00:03:00Z", "accepted"),
        ("t2", "2026-03-19T00:03:00.000001Z", "parked"),
    ] {
        let mut ahead = action("u42", "team.formed", id, json!({}));
        ahead["time"] = json!(time);
        let answer = api.post(&producer(), PATH, &ahead, &[]).await;
        assert_eq!(answer.body["outcomes"][0]["outcome"], outcome, "{time}: {}", answer.text);
    }
}
