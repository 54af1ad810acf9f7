use super::*;

const BINARY: [(&str, &str); 6] = [
    ("ce_specversion", "1.0"),
    ("ce_source", "/gifts"),
    ("ce_id", "g-1"),
    ("ce_type", "gift.sent"),
    ("ce_subject", "u42"),
    ("ce_time", "2026-03-29T01:30:00+01:00"),
];

#[test]
fn both_modes_mean_the_same() {
    let structured = event().to_string();
    let wanted = Action::from_json(&event()).unwrap();
    let structured = |headers: &[_]| read(headers, Some(structured.as_bytes())).unwrap();
    assert_eq!(structured(&[]), wanted);
    assert_eq!(structured(&[("content-type", "application/cloudevents+json")]), wanted);
    let with_charset = "Application/CloudEvents+JSON; charset=utf-8";
    assert_eq!(structured(&[("Content-Type", with_charset), ("ce_id", "other")]), wanted);
    assert_eq!(structured(&[("traceparent", "00-1")]), wanted);
    // As over HTTP.
    assert_eq!(structured(&[("content-type", "application/json; charset=utf-8")]), wanted);
    assert_eq!(structured(&[("content-type", "application/vnd.game+json")]), wanted);

    let data = br#"{"coins":50}"#;
    assert_eq!(read(&BINARY, Some(data)).unwrap(), wanted);
    for content_type in ["application/json", "application/vnd.gift+json"] {
        let mut headers = BINARY.to_vec();
        headers.push(("content-type", content_type));
        headers.push(("ce_partitionkey", "u42"));
        assert_eq!(read(&headers, Some(data)).unwrap(), wanted);
    }
}

#[test]
fn an_action_without_data_says_so() {
    let mut event = event();
    event.as_object_mut().unwrap().remove("data");
    assert!(read(&[], Some(event.to_string().as_bytes())).unwrap().data.is_empty());
    assert!(read(&BINARY, Some(b"{}")).unwrap().data.is_empty());
}

#[test]
fn a_record_without_a_value_is_unreadable_in_both_modes() {
    for headers in [&[][..], &BINARY] {
        for value in [None, Some(&b""[..])] {
            assert!(read(headers, value).unwrap_err().contains("empty"));
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
    let mut headers = BINARY.to_vec();
    headers.push(("content-type", "application/avro"));
    assert!(read(&headers, Some(b"{}")).unwrap_err().contains("application/avro"));
}

#[test]
fn what_is_no_cloud_event_is_unreadable() {
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
fn a_header_that_is_no_text_is_unreadable() {
    let mut record = record(&BINARY, Some(b"{}"));
    record.headers[2].1 = Some(b"\xff");
    let readings = Sources::default().read(&record);
    assert!(
        matches!(&readings[0], Reading::SetAside(s) if s.reason.contains("ce_id")),
        "{readings:?}"
    );
}

#[test]
fn a_reason_is_one_short_line() {
    let long = format!("{{\"specversion\":\"1.0\",\"a\n{}", "x".repeat(5000));
    let why = read(&[("content-type", &long)], Some(b"{}")).unwrap_err();
    assert!(why.chars().count() <= REASON_CHARS_MAX + 1 && !why.contains('\n'), "{why}");
}
