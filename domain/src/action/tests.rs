use super::*;

#[test]
fn times_are_cut_to_microseconds() {
    let at = instant("2026-03-29T01:30:00.1234567891234+01:00").unwrap();
    assert_eq!(at.to_string(), "2026-03-29T00:30:00.123456Z");
    assert_eq!(instant("2026-03-29t00:30:00z").unwrap().to_string(), "2026-03-29T00:30:00Z");
    assert_eq!(
        instant("1969-12-31T23:59:59.9999999Z").unwrap().to_string(),
        "1969-12-31T23:59:59.999999Z"
    );
}

#[test]
fn only_rfc_3339_is_a_time() {
    let bad = [
        "",
        "2026-03-29",
        "2026-03-29 01:30:00Z",
        "2026-03-29T01:30Z",
        "2026-03-29T01:30:00",
        "2026-03-29T23:59:60Z",
        "2026-13-29T01:30:00Z",
        "2026-03-29T01:30:00.Z",
        "2026-03-29T01:30:00+0100",
        "2026-03-29T01:30:00Z[UTC]",
        "2026-03-29T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-03-29T01:30:00+24:00",
        "1774747800",
        "2026-03-29T01:30:00é",
    ];
    for text in bad {
        assert!(instant(text).is_err(), "{text}");
    }
}

#[test]
fn an_action_reads_from_structured_mode() {
    let json = br#"{"specversion":"1.0","source":"/gifts","id":"g-1001","type":"gift.sent","subject":"u42",
        "time":"2026-03-29T01:30:00+01:00","data":{"coins":50},"traceparent":"00-1"}"#;
    let action = Action::from_structured(json).unwrap();
    assert_eq!((action.user.as_str(), action.kind.as_str()), ("u42", "gift.sent"));
    assert_eq!(action.data["coins"], 50);
}

#[test]
fn an_array_is_no_action_even_if_its_elements_are_those_of_one() {
    let fields = serde_json::json!(["1.0", "s", "i", "t", "u", "2026-03-29T01:30:00Z", {}, null]);
    let reasons = [
        Action::from_json(&fields).unwrap_err(),
        Action::from_structured(format!(" \n{fields}").as_bytes()).unwrap_err(),
    ];
    for reason in reasons {
        assert!(reason.to_string().contains("object: it is an array"), "{reason}");
    }
}

#[test]
fn a_number_that_is_too_large_is_named_as_the_reason() {
    let json = br#"{"specversion":"1.0","source":"s","id":"i","type":"t","subject":"u",
        "time":"2026-03-29T01:30:00Z","data":{"coins":1e400}}"#;
    let reason = Action::from_structured(json).unwrap_err().to_string();
    assert!(reason.contains("number out of range at line 2"), "{reason}");
}

#[test]
fn what_is_no_action_is_unreadable_with_its_reason() {
    let whole = serde_json::json!({"specversion":"1.0","source":"s","id":"i","type":"t","subject":"u",
        "time":"2026-03-29T01:30:00Z"});
    assert!(Action::from_json(&whole).is_ok_and(|a| a.data.is_empty()));
    let reason = |field: &str, value: Value| {
        let mut changed = whole.clone();
        changed[field] = value;
        Action::from_json(&changed).unwrap_err()
    };
    assert_eq!(reason("specversion", "0.3".into()), Unreadable::SpecVersion("0.3".into()));
    assert_eq!(reason("time", Value::Null), Unreadable::Missing("time"));
    assert_eq!(reason("data", serde_json::json!([1])), Unreadable::DataNotObject);
    assert_eq!(reason("data", "text".into()), Unreadable::DataNotObject);
    assert!(matches!(reason("subject", "".into()), Unreadable::Name(_)));
    assert!(matches!(reason("id", "a\u{7}".into()), Unreadable::Name(_)));
    assert!(matches!(reason("source", "s".repeat(257).into()), Unreadable::Name(_)));
    assert!(matches!(reason("id", 7.into()), Unreadable::Json(_)));
    let large = serde_json::json!({"text": "x".repeat(DATA_BYTES_MAX)});
    assert_eq!(reason("data", large), Unreadable::DataTooLarge);
}
