use plaudit_domain::action::DATA_BYTES_MAX;
use serde_json::json;

use super::*;

const BINARY: [(&str, &str); 6] = [
    ("ce_specversion", "1.0"),
    ("ce_source", "/gifts"),
    ("ce_id", "g-1"),
    ("ce_type", "gift.sent"),
    ("ce_subject", "u42"),
    ("ce_time", "2026-03-29T01:30:00+01:00"),
];

fn event() -> Value {
    json!({"specversion":"1.0","source":"/gifts","id":"g-1","type":"gift.sent","subject":"u42",
        "time":"2026-03-29T01:30:00+01:00","data":{"coins":50}})
}

fn without(event: &Value, name: &str) -> Value {
    let mut event = event.clone();
    event.as_object_mut().unwrap().remove(name);
    event
}

fn record<'a>(headers: &[(&'a str, &'a str)], value: Option<&'a [u8]>) -> RawRecord<'a> {
    let headers = headers.iter().map(|(n, v)| (*n, Some(v.as_bytes()))).collect();
    RawRecord { topic: "actions", headers, value, ..RawRecord::default() }
}

/// Converts a record into an action, or returns the reason as text.
fn read(headers: &[(&str, &str)], value: Option<&[u8]>) -> Result<Action, String> {
    from_record(&record(headers, value)).map_err(|why| why.to_string())
}

/// Returns the headers of binary mode and others.
fn binary_with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    BINARY.iter().chain(more).copied().collect()
}

#[test]
fn both_modes_mean_the_same() {
    let structured = event().to_string();
    let expected = from_json(&event()).unwrap();
    assert_eq!((expected.user.as_str(), expected.kind.as_str()), ("u42", "gift.sent"));
    let structured = |headers: &[_]| read(headers, Some(structured.as_bytes())).unwrap();
    assert_eq!(structured(&[]), expected);
    assert_eq!(structured(&[("content-type", "application/cloudevents+json")]), expected);
    let with_charset = "Application/CloudEvents+JSON; charset=utf-8";
    assert_eq!(structured(&[("Content-Type", with_charset), ("ce_id", "other")]), expected);
    assert_eq!(structured(&[("traceparent", "00-1")]), expected);
    // The same content types as over HTTP.
    assert_eq!(structured(&[("content-type", "application/json; charset=utf-8")]), expected);
    assert_eq!(structured(&[("content-type", "application/vnd.game+json")]), expected);

    let data = br#"{"coins":50}"#;
    assert_eq!(read(&BINARY, Some(data)).unwrap(), expected);
    for content_type in ["application/json", "application/vnd.gift+json"] {
        let headers = binary_with(&[("content-type", content_type), ("ce_partitionkey", "u42")]);
        assert_eq!(read(&headers, Some(data)).unwrap(), expected);
    }
}

#[test]
fn data_in_base64_is_read_as_data_would_be() {
    let mut event = without(&event(), "data");
    let mut read_encoded = |encoded: &str| {
        event["data_base64"] = encoded.into();
        from_structured(event.to_string().as_bytes())
    };
    assert_eq!(read_encoded(&STANDARD.encode(r#"{"coins":50}"#)).unwrap().data["coins"], 50);
    assert!(read_encoded("").unwrap().data.is_empty());
    for not_object in ["[1]", "7", "null", "\"text\""] {
        let refused = read_encoded(&STANDARD.encode(not_object)).unwrap_err();
        assert_eq!(refused, Unreadable::DataNotObject, "{not_object}");
    }
    for bad in ["%", "e30", &STANDARD.encode("{"), &STANDARD.encode(b"\xff")] {
        let refused = read_encoded(bad).unwrap_err();
        assert!(matches!(refused, Unreadable::Base64(_)), "{bad}: {refused}");
    }
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(DATA_BYTES_MAX));
    let refused = read_encoded(&STANDARD.encode(large)).unwrap_err();
    assert_eq!(refused, Unreadable::Action(action::Unreadable::DataTooLarge));
    event["data"] = json!({});
    assert_eq!(from_json(&event).unwrap_err(), Unreadable::DataTwice);
    event["data"] = Value::Null;
    event["data_base64"] = 7.into();
    assert!(matches!(from_json(&event).unwrap_err(), Unreadable::Json(_)));
}

#[test]
fn an_action_without_data_has_an_empty_object() {
    let no_data = without(&event(), "data").to_string();
    assert!(read(&[], Some(no_data.as_bytes())).unwrap().data.is_empty());
    assert!(read(&BINARY, Some(b"{}")).unwrap().data.is_empty());
    for value in [None, Some(&b""[..]), Some(b" \n")] {
        assert!(read(&BINARY, value).unwrap().data.is_empty());
        let typed = binary_with(&[("content-type", "application/json")]);
        assert!(read(&typed, value).unwrap().data.is_empty());
    }
    // A producer may name a data type in every record, even without data.
    let typed = binary_with(&[("content-type", "application/avro")]);
    assert!(read(&typed, None).unwrap().data.is_empty());
}

#[test]
fn a_record_without_a_value_is_unreadable_in_structured_mode() {
    let structured = binary_with(&[("content-type", STRUCTURED)]);
    for headers in [&[][..], &[("why", "tombstone")], &structured] {
        for value in [None, Some(&b""[..])] {
            assert!(read(headers, value).unwrap_err().contains("empty"), "{headers:?}");
        }
    }
}

#[test]
fn other_content_is_unreadable() {
    let structured = event().to_string();
    for content_type in
        ["text/plain", "application/cloudevents-batch+json", "application/jsonx", "avro/binary", ""]
    {
        let why = read(&[("content-type", content_type)], Some(structured.as_bytes())).unwrap_err();
        assert!(why.contains("content type"), "{content_type}: {why}");
    }
    let avro = binary_with(&[("content-type", "application/avro")]);
    assert!(read(&avro, Some(b"{}")).unwrap_err().contains("application/avro"));
    let batch = binary_with(&[("content-type", BATCH)]);
    assert!(read(&batch, None).unwrap_err().contains(BATCH));
}

#[test]
fn what_is_not_a_cloud_event_is_unreadable() {
    for value in [
        &b"\xff\xfe"[..],
        b"{",
        b"[]",
        br#"["1.0","s","i","t","u","2026-03-29T01:30:00Z",{},null]"#,
        b"1",
        b"null",
        b"\"text\"",
        b"[".repeat(100_000).as_slice(),
    ] {
        read(&[], Some(value)).unwrap_err();
    }
    for (at, missing) in
        [(1, "source"), (2, "id"), (3, "type"), (4, "subject"), (5, "time"), (0, "specversion")]
    {
        let mut headers = BINARY.to_vec();
        headers.remove(at);
        let why = read(&headers, Some(b"{}")).unwrap_err();
        assert!(why.contains(&format!("`{missing}` is missing")), "{why}");
    }
    for data in [&b"[]"[..], b"\"text\"", b"1", b"null"] {
        assert!(read(&BINARY, Some(data)).unwrap_err().contains("`data` must be a JSON object"));
    }
    let mut headers = BINARY.to_vec();
    headers[0].1 = "0.3";
    assert!(read(&headers, Some(b"{}")).unwrap_err().contains("specversion"));
}

#[test]
fn a_header_that_is_not_text_is_unreadable() {
    let mut record = record(&BINARY, Some(b"{}"));
    record.headers[2].1 = Some(b"\xff");
    assert_eq!(from_record(&record).unwrap_err(), Unreadable::Header("ce_id".to_owned()));
}

#[test]
fn an_array_is_not_an_action_even_if_its_elements_are_those_of_one() {
    let fields = json!(["1.0", "s", "i", "t", "u", "2026-03-29T01:30:00Z", {}, null]);
    for reason in [
        from_json(&fields).unwrap_err(),
        from_structured(format!(" \n{fields}").as_bytes()).unwrap_err(),
    ] {
        assert!(reason.to_string().contains("object: it is an array"), "{reason}");
    }
}

#[test]
fn a_number_that_is_too_large_is_named_as_the_reason() {
    let json = br#"{"specversion":"1.0","source":"s","id":"i","type":"t","subject":"u",
        "time":"2026-03-29T01:30:00Z","data":{"coins":1e400}}"#;
    let reason = from_structured(json).unwrap_err().to_string();
    assert!(reason.contains("number out of range at line 2"), "{reason}");
}

#[test]
fn an_attribute_that_is_wrong_is_named_as_the_reason() {
    let reason = |field: &str, value: Value| {
        let mut changed = event();
        changed[field] = value;
        from_json(&changed).unwrap_err()
    };
    for version in ["0.3", "1.0.2", "1", ""] {
        let refused = reason("specversion", version.into());
        assert_eq!(refused, Unreadable::SpecVersion(version.into()));
    }
    assert_eq!(reason("time", Value::Null), Unreadable::Missing("time"));
    assert_eq!(reason("data", json!([1])), Unreadable::DataNotObject);
    assert_eq!(reason("data", "text".into()), Unreadable::DataNotObject);
    let is_name = |why| matches!(why, Unreadable::Action(action::Unreadable::Name(_)));
    assert!(is_name(reason("subject", "".into())));
    assert!(is_name(reason("id", "a\u{7}".into())));
    assert!(is_name(reason("source", "s".repeat(257).into())));
    assert!(matches!(reason("id", 7.into()), Unreadable::Json(_)));
    let large = json!({"text": "x".repeat(DATA_BYTES_MAX)});
    assert_eq!(reason("data", large), Unreadable::Action(action::Unreadable::DataTooLarge));
}
