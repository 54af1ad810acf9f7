//! Valid and invalid channels of the configuration.

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn errors(json: &Value) -> String {
    Channels::parse(&json.to_string()).unwrap_err().join("\n")
}

#[test]
fn without_channels_everything_goes_to_the_topic_and_is_confirmed_by_actions() {
    let channels = Channels::parse("[]").unwrap();
    assert_eq!(channels.kafka.ack, Ack::Action);
    assert!(channels.payer_of("currency", "coin").is_none());
}

#[test]
fn the_first_webhook_that_fits_leads_to_the_payer() {
    let webhook = |name: &str, grants: Value| {
        serde_json::json!({"name": name, "type": "webhook", "url": "https://pay.example/hook",
            "secrets": [SECRET], "grants": grants})
    };
    let all = serde_json::json!([
        {"name": "kafka", "type": "kafka", "ack": "none"},
        webhook("badges", serde_json::json!([{"kind": "item", "code": "badge-*"}])),
        webhook("coins", serde_json::json!([{"kind": "currency"}])),
        webhook("gold", serde_json::json!([{"code": "gold"}])),
    ]);
    let channels = Channels::parse(&all.to_string()).unwrap();
    let payer = |kind, code| channels.payer_of(kind, code).map(|c| c.name.as_str());
    assert_eq!(payer("item", "badge-rare"), Some("badges"));
    assert_eq!(payer("currency", "gold"), Some("coins"));
    assert_eq!(payer("item", "gold"), Some("gold"));
    assert_eq!(payer("item", "chest"), None);
    assert_eq!(channels.kafka.ack, Ack::None);
}

#[test]
fn every_error_names_its_channel_and_what_is_expected() {
    let bad = serde_json::json!([
        {"name": "Coins", "type": "webhook", "url": "http://10.0.0.1/", "secrets": []},
        {"name": "b", "type": "webhook", "url": "https://169.254.169.254/", "secrets": ["x"],
         "concurrency": 0, "timeout": "10"},
        {"name": "c", "type": "pigeon"},
        {"name": "d", "type": "webhook", "url": "https://d.example", "secrets": [SECRET], "retry": 1},
        {"name": "kafka", "type": "kafka", "ack": "response", "url": "https://d.example"},
    ]);
    let errors = errors(&bad);
    for expected in [
        "channel 1 (Coins): a name is",
        "channel 1 (Coins): `url` is not https",
        "channel 1 (Coins): `secrets` has 1 to 4",
        "channel 2 (b): `url` leads to 169.254.169.254",
        "channel 2 (b): a secret is whsec_",
        "channel 2 (b): `concurrency` is 1 to 256",
        "channel 2 (b): `timeout` must be a duration",
        "channel 3 (c): unknown variant `pigeon`",
        "channel 4 (d): unknown field `retry`",
        "channel 5 (kafka): `url` is for webhooks",
        "channel 5 (kafka): `ack` of the topic",
    ] {
        assert!(errors.contains(expected), "{expected:?} is not in\n{errors}");
    }
}

#[test]
fn a_webhook_that_would_never_get_a_reward_is_refused_with_the_name_of_the_one_before_it() {
    let webhook = |name: &str, grants: Value| {
        serde_json::json!({"name": name, "type": "webhook", "url": "https://pay.example/hook",
            "secrets": [SECRET], "grants": grants})
    };
    let parsed = |list: &[Value]| Channels::parse(&Value::from(list).to_string()).map(|_| ());
    let all = webhook("all", serde_json::json!([{}]));
    let coins = webhook("coins", serde_json::json!([{"kind": "currency"}]));
    let badges = webhook("badges", serde_json::json!([{"kind": "item", "code": "badge-*"}]));
    let both = webhook(
        "both",
        serde_json::json!([
            {"kind": "item", "code": "badge-gold"}, {"kind": "currency", "code": "coin"}
        ]),
    );
    assert_eq!(parsed(&[coins.clone(), badges.clone(), all.clone()]), Ok(()));
    assert_eq!(parsed(&[coins.clone(), both.clone(), badges.clone()]), Ok(()));
    for (list, name, before) in [
        (vec![all, coins.clone()], "the channel coins never gets", "all before it"),
        (
            vec![coins.clone(), badges, both],
            "the channel both never gets",
            "badges and coins before it",
        ),
        (
            vec![coins.clone(), webhook("more", coins["grants"].clone())],
            "the channel more",
            "coins before it",
        ),
    ] {
        let errors = parsed(&list).unwrap_err().join("; ");
        assert!(errors.contains(name) && errors.contains(before), "{errors}");
    }
}

#[test]
fn a_secret_is_never_shown_wherever_it_stands() {
    let with = |field: &str, value: Value| {
        let mut channel = serde_json::json!({"name": "a", "type": "webhook",
            "url": "https://a.example", "secrets": [SECRET]});
        channel[field] = value;
        serde_json::json!([channel])
    };
    for bad in [
        with("secrets", SECRET.into()),
        with("secrets", serde_json::json!({"one": SECRET})),
        with("secrets", serde_json::json!(["geheim"])),
        with("secrets", "geheim".into()),
        with("ack", SECRET.into()),
        with("grants", SECRET.into()),
        with("type", SECRET.into()),
        with("timeout", SECRET.into()),
        with(SECRET, 1.into()),
        serde_json::json!([SECRET]),
        SECRET.into(),
    ] {
        let errors = errors(&bad);
        assert!(!errors.contains("MfKQ9r8GKYq") && !errors.contains("geheim"), "{errors}");
        assert!(!errors.is_empty());
    }
    let errors = errors(&with("secrets", SECRET.into()));
    assert!(errors.contains("channel 1 (a): `secrets` is a list"), "{errors}");
}

#[test]
fn what_no_clock_can_hold_is_refused() {
    let channel = |field: &str, value: Value| {
        let mut channel = serde_json::json!({"name": "a", "type": "webhook",
            "url": "https://a.example", "secrets": [SECRET]});
        channel[field] = value;
        Channels::parse(&serde_json::json!([channel]).to_string()).map(|_| ())
    };
    for (field, bad, good, expected) in [
        ("rate_per_second", 1e-20.into(), 0.001.into(), "is 0.001 to 10000"),
        ("rate_per_second", 1e6.into(), 10_000.into(), "is 0.001 to 10000"),
        ("retry_for", Value::from("P366D"), Value::from("P365D"), "is at most P365D"),
        ("retry_for", "P99999999999999D".into(), "PT1S".into(), "retry_for"),
        ("ack_within", "P400D".into(), "P365D".into(), "is at most P365D"),
    ] {
        let errors = channel(field, bad).unwrap_err().join("; ");
        assert!(errors.contains(field) && errors.contains(expected), "{errors}");
        assert_eq!(channel(field, good), Ok(()), "{field}");
    }
}

#[test]
fn an_ipv4_address_in_an_ipv6_literal_is_looked_at() {
    for text in ["https://[::ffff:127.0.0.1]/", "https://[::ffff:a9fe:a9fe]/", "https://[::1]/"] {
        let refused = url(Some(text), false).unwrap_err();
        assert!(refused.contains("`allow_private = true`"), "{refused}");
        assert!(url(Some(text), true).is_ok(), "{text}");
    }
    assert!(url(Some("https://[::ffff:8.8.8.8]/"), false).is_ok());
}
