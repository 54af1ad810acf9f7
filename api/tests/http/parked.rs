//! Releasing and discarding parked records.

use axum::http::Method;
use serde_json::json;

use super::support::{Api, action, auditor, operator, producer, request};

/// Parks an action of `u42` for a repairable reason, as a failed source mapping would.
pub async fn blocked(api: &Api, name: &str) -> String {
    use plaudit_domain::lane::Lane;
    use plaudit_event_store::{Batch, Incoming, Item, Origin, ParkedRecord};
    let event = action("u42", "gift.sent", name, json!({"coins": 10}));
    let record = ParkedRecord {
        id: ParkedRecord::id_of(name),
        reason: "an internal error while applying it".to_owned(),
        repairable: true,
        user: Some("u42".parse().unwrap()),
        headers: json!({"content-type": "application/cloudevents+json"}),
        bytes: event.to_string().into_bytes(),
    };
    let id = record.id.to_string();
    let lane = Lane::of("u42", api.executor.lane_count());
    let origin = Origin::Request(record.id);
    let items = vec![Item { lane, work: Incoming::Park(record), origin }];
    api.executor.execute(&Batch { items, checkpoints: vec![] }).await.unwrap();
    id
}

#[tokio::test]
async fn rule_22_a_release_applies_what_waited_behind_in_order() {
    let api = Api::start().await;
    let first = blocked(&api, "p1").await;
    let send = async |id: &str, coins: i64| {
        let sent = action("u42", "gift.sent", id, json!({"coins": coins}));
        let answer = api.post(&producer(), "/v1/actions", &sent, &[]).await;
        answer.body["outcomes"][0].clone()
    };
    let waiting = send("g1", 20).await;
    assert_eq!(waiting["outcome"], "parked");
    assert!(waiting["reason"].as_str().unwrap().contains(&first), "{waiting}");
    let second = waiting["parked"].as_str().unwrap().to_owned();
    let early =
        api.post(&operator(), &format!("/v1/parked/{second}/release"), &json!(null), &[]).await;
    early.is_problem(409, "parked-behind");
    assert!(early.body["detail"].as_str().unwrap().contains(&first));

    let path = format!("/v1/parked/{first}/release");
    api.post(&auditor(), &path, &json!(null), &[]).await.is_problem(403, "forbidden");
    let answer = api.post(&operator(), &path, &json!({"reason": "the cause is fixed"}), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let counts = (&answer.body["applied"], &answer.body["followed"], &answer.body["stopped"]);
    assert_eq!(counts, (&json!(2), &json!(1), &json!(null)), "{}", answer.text);
    assert_eq!(answer.header("plaudit-position"), answer.body["position"]);
    let screen = api.get(&operator(), "/v1/users/u42/tasks/daily-gifts").await;
    assert_eq!(screen.body["progress"], 30);
    assert_eq!(send("g1", 20).await["outcome"], "duplicate");
    assert_eq!(send("p1", 10).await["outcome"], "duplicate");
    api.post(&operator(), &path, &json!(null), &[]).await.is_problem(409, "parked-resolved");
    assert_eq!(api.get(&operator(), "/v1/parked").await.body["parked"], json!([]));
    let history = api.get(&auditor(), "/v1/audit/users/u42/history").await;
    let events = history.body["events"].as_array().unwrap();
    assert_eq!(events.iter().filter(|e| e["type"] == "parked_released").count(), 2);
    assert_eq!(events[0]["metadata"]["parked_id"], first.as_str());
}

#[tokio::test]
async fn rule_24_a_release_and_a_discard_say_who_and_why_in_the_history() {
    let api = Api::start().await;
    for (name, verb) in [("p1", "release"), ("p2", "discard")] {
        let id = blocked(&api, name).await;
        let reason = json!({"reason": format!("why {name}")});
        let path = format!("/v1/parked/{id}/{verb}");
        let done = api.post(&operator(), &path, &reason, &[]).await;
        assert_eq!(done.status, 200, "{}", done.text);
        let history = api.get(&auditor(), "/v1/audit/users/u42/history").await;
        let last = history.body["events"].as_array().unwrap().last().unwrap().clone();
        let (by, why) = (&last["payload"]["by"], &last["payload"]["reason"]);
        assert_eq!((by, why), (&json!("ops"), &reason["reason"]), "{last}");
    }
}

/// Checks that a page after an unknown record is an error, and not just empty.
#[tokio::test]
async fn a_page_after_an_unknown_record_is_refused() {
    let api = Api::start().await;
    let id = blocked(&api, "p1").await;
    let list = |after: &str| format!("/v1/parked?after={after}");
    let unknown = list("00000000-0000-0000-0000-000000000000");
    let refused = api.get(&operator(), &unknown).await;
    refused.is_problem(400, "bad-input");
    assert_eq!(refused.body["errors"][0]["parameter"], "after");
    let discard = format!("/v1/parked/{id}/discard");
    api.post(&operator(), &discard, &json!({"reason": "a test"}), &[]).await;
    let after = api.get(&operator(), &list(&id)).await;
    assert_eq!(after.body, json!({"parked": [], "next": null}), "a page goes on behind it");
}

/// Two operators decide at the same time, and the answer to the later one names the earlier decision.
#[tokio::test]
async fn of_two_decisions_at_once_one_is_made_and_the_other_named() {
    let api = Api::start().await;
    for round in 0..5 {
        let id = blocked(&api, &format!("p{round}")).await;
        let (release, discard) =
            (format!("/v1/parked/{id}/release"), format!("/v1/parked/{id}/discard"));
        let (reason, token) = (json!({"reason": "a test"}), operator());
        let (released, discarded) = tokio::join!(
            api.post(&token, &release, &reason, &[]),
            api.post(&token, &discard, &reason, &[])
        );
        let (first, second) =
            if released.status == 200 { (released, discarded) } else { (discarded, released) };
        assert_eq!(first.status, 200, "{}", first.text);
        second.is_problem(409, "parked-resolved");
    }
}

/// The action arrives at a process whose clock is an hour slow. By the right clock its time has come.
#[tokio::test]
async fn rule_3_an_action_from_the_future_is_released_in_its_time() {
    let api = Api::start().await;
    let before = |minutes: i64| {
        (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes)).to_string()
    };
    let mut early = action("u42", "gift.sent", "g1", json!({"coins": 10}));
    early["time"] = json!(before(1));
    let slow = api.at(&before(60)).await;
    let parked = slow.post(&producer(), "/v1/actions", &early, &[]).await;
    let id = parked.body["outcomes"][0]["parked"].as_str().unwrap().to_owned();
    let path = format!("/v1/parked/{id}/release");
    let refused = slow.post(&operator(), &path, &json!(null), &[]).await;
    refused.is_problem(409, "parked-too-early");
    let done = api.post(&operator(), &path, &json!(null), &[]).await;
    assert_eq!((done.status.as_u16(), &done.body["applied"]), (200, &json!(1)), "{}", done.text);
    let history = api.get(&auditor(), "/v1/audit/users/u42/history").await;
    let events = history.body["events"].as_array().unwrap();
    assert!(events.iter().any(|event| event["type"] == "progress_recorded"), "{}", history.text);
}

/// Rule 3: an action from the future blocks no one.
#[tokio::test]
async fn an_action_from_the_future_can_be_discarded_but_not_released_before_its_time() {
    let api = Api::start().await;
    let mut late = action("u42", "gift.sent", "g1", json!({"coins": 10}));
    late["time"] = json!("2999-01-01T00:00:00Z");
    let parked = api.post(&producer(), "/v1/actions", &late, &[]).await;
    let id = parked.body["outcomes"][0]["parked"].as_str().unwrap().to_owned();
    api.act("u42", "gift.sent", "g2", json!({"coins": 5})).await;
    let path = format!("/v1/parked/{id}/release");
    api.post(&operator(), &path, &json!(null), &[]).await.is_problem(409, "parked-too-early");
    let discard = format!("/v1/parked/{id}/discard");
    api.post(&operator(), &discard, &json!({}), &[]).await.is_problem(400, "bad-input");
    let blank = json!({"reason": " "});
    api.post(&operator(), &discard, &blank, &[]).await.is_problem(400, "bad-input");
    let done = api.post(&operator(), &discard, &json!({"reason": "a test"}), &[]).await;
    assert_eq!((done.status.as_u16(), &done.body["resolution"]), (200, &json!("discarded")));
    api.post(&operator(), &path, &json!(null), &[]).await.is_problem(409, "parked-resolved");
}

/// Discarding a record releases those that waited behind it, up to the next repairable record.
#[tokio::test]
async fn a_discard_frees_what_waited() {
    let api = Api::start().await;
    let first = blocked(&api, "p1").await;
    let sent = action("u42", "gift.sent", "g1", json!({"coins": 20}));
    api.post(&producer(), "/v1/actions", &sent, &[]).await;
    let next = blocked(&api, "p2").await;
    let path = format!("/v1/parked/{first}/discard");
    let done = api.post(&operator(), &path, &json!({"reason": "a test"}), &[]).await;
    assert_eq!(
        (&done.body["applied"], &done.body["followed"]),
        (&json!(1), &json!(1)),
        "{}",
        done.text
    );
    assert_eq!(done.body["stopped"]["id"], next.as_str());
}

#[tokio::test]
async fn what_can_not_be_read_stays_parked_with_its_reason() {
    let api = Api::start().await;
    let mut bad = action("u42", "gift.sent", "a", json!({}));
    bad["specversion"] = json!("0.3");
    let parked = api.post(&producer(), "/v1/actions", &bad, &[]).await;
    let id = parked.body["outcomes"][0]["parked"].as_str().unwrap().to_owned();
    let path = format!("/v1/parked/{id}/release");
    let refused = api.post(&operator(), &path, &json!(null), &[]).await;
    refused.is_problem(409, "parked-unapplied");
    assert!(refused.body["detail"].as_str().unwrap().contains("specversion"));
    assert_eq!(
        api.get(&operator(), "/v1/parked").await.body["parked"].as_array().unwrap().len(),
        1
    );
    for unknown in ["nothing", "00000000-0000-0000-0000-000000000000"] {
        let path = format!("/v1/parked/{unknown}/release");
        api.post(&operator(), &path, &json!(null), &[]).await.is_problem(404, "unknown-parked");
    }
    let text =
        request(Method::POST, &path, &operator(), &[("content-type", "text/plain")], "x".into());
    api.send(text).await.is_problem(415, "unsupported-media-type");
}
