//! Kafka records and the actions or parked records that they become.

use std::sync::Arc;

use plaudit_actions::sources::Sources;
use serde_json::json;

use crate::wire;
use crate::world::{Sent, World, gift, gift_at};

const BINARY: &[(&str, &str)] = &[
    ("ce_specversion", "1.0"),
    ("ce_source", "/gifts"),
    ("ce_id", "g-2"),
    ("ce_type", "gift.sent"),
    ("ce_subject", "ann"),
    ("ce_time", "2025-03-29T01:30:00+01:00"),
];

#[tokio::test]
async fn records_of_both_modes_are_applied() {
    let world = World::new(1).await;
    let reader = world.read();
    world.send(Sent { value: Some(gift("ann", "g-1", 1)), ..Sent::default() }).await;
    let value = Some(br#"{"coins":1}"#.to_vec());
    world.send(Sent { headers: BINARY, value, ..Sent::default() }).await;
    let headers = &[("content-type", "application/cloudevents+json; charset=UTF-8")];
    world.send(Sent { headers, value: Some(gift("ann", "g-3", 1)), ..Sent::default() }).await;
    world.until_coins(&[("ann", 3)]).await;
    reader.stop().await;
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn rule_05_an_action_that_is_sent_again_counts_once() {
    let world = World::new(2).await;
    let reader = world.read();
    for partition in [0, 0, 1] {
        world.send(Sent { partition, value: Some(gift("ann", "g-1", 1)), ..Sent::default() }).await;
    }
    for partition in [0, 1] {
        let value = Some(gift("ann", &format!("last-{partition}"), 1));
        world.send(Sent { partition, value, ..Sent::default() }).await;
    }
    world.until_coins(&[("ann", 3)]).await;
    reader.stop().await;
}

#[tokio::test]
async fn rule_21_what_cannot_be_read_is_parked_with_its_position_and_bytes_and_stops_no_one() {
    let world = World::new(2).await;
    let unreadable = [
        Sent { value: Some(b"\xff garbage \x00".to_vec()), ..Sent::default() },
        Sent { value: None, headers: &[("why", "tombstone")], ..Sent::default() },
        Sent { value: Some(Vec::new()), ..Sent::default() },
        Sent {
            value: Some(gift("ann", "g", 1)),
            headers: &[("content-type", "text/plain")],
            ..Sent::default()
        },
    ];
    for record in &unreadable {
        world.send(Sent { partition: 1, ..record.clone() }).await;
    }
    world.gifts(1, [("ann", 1)]).await;
    let reader = world.read();
    world.until_coins(&[("ann", 1)]).await;
    let parked = world.until_parked(unreadable.len()).await;
    reader.stop().await;

    assert_eq!(parked.len(), unreadable.len());
    for (offset, sent) in (0..).zip(&unreadable) {
        let parked = parked.iter().find(|p| p.offset == Some(offset)).expect("it is parked");
        assert_eq!(parked.topic.as_deref(), Some(world.topic.as_str()));
        assert_eq!((parked.partition, parked.repairable, &parked.user), (Some(1), false, &None));
        assert_eq!(parked.bytes, sent.value.clone().unwrap_or_default());
        for (name, value) in sent.headers {
            assert_eq!(parked.headers[name], *value);
        }
    }
}

#[tokio::test]
async fn rule_03_an_action_from_the_future_is_parked_and_the_users_others_go_on() {
    let world = World::new(1).await;
    let reader = world.read();
    let far = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let value = Some(gift_at("ann", "g-1", 1, &far.to_string()).to_string().into_bytes());
    world.send(Sent { value, ..Sent::default() }).await;
    world.gifts(0, [("ann", 2)]).await;
    world.until_coins(&[("ann", 1)]).await;
    let parked = world.until_parked(1).await;
    assert_eq!((parked[0].user.as_deref(), parked[0].repairable), (Some("ann"), false));
    assert!(parked[0].reason.contains("future"), "{}", parked[0].reason);
    reader.stop().await;
}

#[tokio::test]
async fn a_list_of_users_gives_one_action_for_each() {
    let world = World::new(1).await;
    let dir = plaudit_embedded::ScratchDir::create("sources").unwrap();
    let file = json!({"sources": [{
        "topic": world.topic,
        "when": "value.kind == 'formed'",
        "action": {"id": "value.event_id", "source": "'/teams'", "type": "'gift.sent'",
            "user": "value.member_ids", "time": "timestamp(value.at)", "data": "{'coins': 1}"},
    }]});
    std::fs::write(dir.path().join("teams.yaml"), file.to_string()).unwrap();
    world.sources.send_replace(Arc::new(Sources::load(dir.path()).unwrap()));
    let reader = world.read();
    let team = |kind: &str, users: &[&str]| {
        let value =
            json!({"kind": kind, "event_id": 7, "at": "2025-03-29T01:30:00Z", "member_ids": users});
        Sent { value: Some(value.to_string().into_bytes()), ..Sent::default() }
    };
    world.send(team("left", &["ann"])).await;
    world.send(team("formed", &["ann", "ben", "", "cid"])).await;
    world.until_coins(&[("ann", 1), ("ben", 1), ("cid", 1)]).await;
    let parked = world.until_parked(1).await;
    assert_eq!((parked.len(), parked[0].offset, &parked[0].user), (1, Some(1), &None));
    reader.stop().await;
}

/// The Kafka client panics at such a name, on the polling thread.
#[tokio::test]
async fn rule_21_a_header_whose_name_is_not_utf_8_stops_no_one() {
    let world = World::new(1).await;
    let reader = world.read();
    let (brokers, topic) = (&world.brokers, &world.topic);
    wire::send(brokers, topic, 0, b"\xff\xfe", &gift("ann", "1", 1)).await;
    wire::send(brokers, topic, 0, b"\xff\xfe", b"garbage").await;
    world.gifts(0, [("ann", 2)]).await;
    world.until_coins(&[("ann", 2)]).await;
    let parked = world.until_parked(1).await;
    reader.until_ready().await;
    reader.stop().await;
    assert_eq!((parked.len(), parked[0].offset), (1, Some(1)));
    assert_eq!(
        (parked[0].bytes.as_slice(), &parked[0].headers),
        (&b"garbage"[..], &json!({"?": null}))
    );
}

/// JSON strings may contain NUL, which the database can't store as text.
#[tokio::test]
async fn rule_21_headers_and_keys_with_nul_are_kept_with_their_record() {
    let world = World::new(1).await;
    let file = json!({"sources": [{"topic": world.topic, "action": {"id": "value.id",
        "source": "'/s'", "type": "'t'", "user": "value.user", "time": "value.nothing"}}]});
    let dir = plaudit_embedded::ScratchDir::create("sources").unwrap();
    std::fs::write(dir.path().join("s.yaml"), file.to_string()).unwrap();
    world.sources.send_replace(Arc::new(Sources::load(dir.path()).unwrap()));
    let (key, headers) = (Some(&b"k\0"[..]), &[("nul", "a\0b"), ("text", "c")]);
    let value = Some(br#"{"id": 1, "user": "ann"}"#.to_vec());
    world.send(Sent { key, headers, value, ..Sent::default() }).await;
    let reader = world.read();
    let parked = world.until_parked(1).await;
    reader.stop().await;
    assert!(parked[0].reason.contains("`time`"), "{}", parked[0].reason);
    assert_eq!((parked[0].repairable, parked[0].user.as_deref()), (true, Some("ann")));
    let headers = &parked[0].headers;
    assert_eq!((&headers["nul"], &headers["text"]), (&json!({"base64": "YQBi"}), &json!("c")));
    assert_eq!(headers["plaudit_key"], json!({"base64": "awA="}));
}
