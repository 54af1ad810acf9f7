use super::*;

fn value() -> Value {
    json!({"kind": "formed", "id": "e-1", "users": ["ann", "ben"], "at": TIME, "team": 7})
}

/// Maps the value with an entry that has one field replaced.
fn changed(field: &str, expression: &str) -> Vec<Mapped> {
    map_value(&sources(&[entry(field, expression)]), &value())
}

#[test]
fn a_list_of_users_gives_one_action_for_each() {
    let actions = actions(changed("source", "'/teams'"));
    let users: Vec<&str> = actions.iter().map(|a| a.user.as_str()).collect();
    assert_eq!(users, ["ann", "ben"]);
    for action in &actions {
        assert_eq!(
            (action.source.as_str(), action.id.as_str(), action.kind.as_str()),
            ("/teams", "e-1", "team.formed")
        );
        assert_eq!(action.occurred_at, TIME.parse().unwrap());
        assert_eq!(Value::from(action.data.clone()), json!({"team": 7}));
    }
    assert_ne!(actions[0].identity(), actions[1].identity());
    assert!(changed("user", "[]").is_empty());
}

/// Without a limit, one record could fill the memory, and again after each restart.
#[test]
fn a_record_with_too_many_users_is_parked_once_as_a_whole() {
    let of_users = |count: usize| {
        let mut value = value();
        value["users"] = (0..count).map(|n| json!(format!("u{n}"))).collect();
        map_value(&sources(&[entry("source", "'/teams'")]), &value)
    };
    assert_eq!(actions(of_users(mapping::USERS_MAX)).len(), mapping::USERS_MAX);
    let parked = parked(of_users(mapping::USERS_MAX + 1));
    assert_eq!((parked.len(), &parked[0].user, parked[0].repairable), (1, &None, false));
    assert!(
        parked[0].reason.contains("lists 1001 users, and a record may have 1000"),
        "{parked:?}"
    );
}

#[test]
fn what_would_be_copied_for_each_user_is_bounded() {
    let mut value = value();
    value["users"] = (0..mapping::USERS_MAX).map(|n| json!(format!("u{n}"))).collect();
    value["text"] = "x".repeat(70_000).into();
    let large = map_value(&sources(&[entry("data", "{'text': value.text}")]), &value);
    let whole = parked(large);
    assert_eq!(whole.len(), 1);
    assert!(whole[0].reason.contains("`data` for each of its users"), "{whole:?}");
    // The same limit holds for the copies of a record that would be parked for each user.
    let parked = parked(map_value(&sources(&[entry("id", "value.nothing")]), &value));
    assert_eq!((parked.len(), &parked[0].user), (1, &None));
    assert!(parked[0].reason.contains("once instead of 1000 times"), "{parked:?}");
    assert!(parked[0].reason.contains("`id`"), "{parked:?}");
}

#[test]
fn a_record_to_which_no_entry_applies_means_nothing() {
    let mut other = value();
    other["kind"] = "left".into();
    assert!(map_value(&sources(&[entry("user", "value.users")]), &other).is_empty());
}

#[test]
fn each_entry_that_applies_gives_its_own_actions_in_order() {
    let mut always = entry("type", "'team.seen'");
    always.as_object_mut().unwrap().remove("when");
    always["action"].as_object_mut().unwrap().remove("data");
    always["action"]["user"] = "value.users[0]".into();
    let sources = sources(&[entry("user", "value.users"), always]);
    let actions = actions(map_value(&sources, &value()));
    let kinds: Vec<&str> = actions.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["team.formed", "team.formed", "team.seen"]);
    assert!(actions[2].data.is_empty());
}

#[test]
fn other_topics_carry_cloud_events() {
    let sources = sources(&[entry("user", "value.users")]);
    let text = event().to_string();
    let record = RawRecord { topic: "other", value: Some(text.as_bytes()), ..RawRecord::default() };
    assert_eq!(actions(sources.map(&record).unwrap()).len(), 1);
    assert!(sources.maps("t") && !sources.maps("other"));
}

#[test]
fn expressions_see_all_of_a_record() {
    let sources = sources(&[entry(
        "data",
        "{'k': key, 'h': headers.h, 'none': 'x' in headers, 't': topic, 'p': partition, 'o': offset,
          'late': timestamp > timestamp(value.at)}",
    )]);
    let text = value().to_string();
    let record = RawRecord {
        topic: "t",
        partition: 3,
        offset: 9,
        timestamp: Some("2026-03-29T02:00:00Z".parse().unwrap()),
        key: Some(b"k-1"),
        headers: vec![("h", Some(b"first")), ("h", Some(b"last"))],
        value: Some(text.as_bytes()),
    };
    let data = actions(sources.map(&record).unwrap()).remove(0).data;
    let expected = json!({"k":"k-1","h":"last","none":false,"t":"t","p":3,"o":9,"late":true});
    assert_eq!(Value::from(data), expected);
}

#[test]
fn what_is_named_by_a_number_is_named_by_its_digits() {
    let actions = actions(changed("id", "value.team"));
    assert_eq!(actions[0].id, "7");
    assert_eq!(changed("user", "value.team").len(), 1);
}

#[test]
fn times_are_timestamps_or_texts() {
    for (expression, expected) in [
        ("value.at", TIME),
        ("timestamp(value.at)", TIME),
        ("timestamp(1774747800)", "2026-03-29T01:30:00Z"),
        ("timestamp(value.at) + duration('1500ms')", "2026-03-29T01:30:01.5Z"),
        ("timestamp_ms(1774747800125 + value.team - 7)", "2026-03-29T01:30:00.125Z"),
        ("timestamp(0) + duration(string(1774747800125) + 'ms')", "2026-03-29T01:30:00.125Z"),
        ("'2026-03-29T01:30:00.1234567+01:00'", "2026-03-29T00:30:00.123456Z"),
    ] {
        let at = actions(changed("time", expression))[0].occurred_at;
        assert_eq!(at, expected.parse().unwrap(), "{expression}");
    }
}

#[test]
fn rule_22_a_field_that_fails_parks_the_part_of_each_user_repairably() {
    for (field, expression, why) in [
        ("id", "value.missing", "`id` can't be evaluated"),
        ("id", "value.users", "`id` gives list, not a text"),
        ("id", "''", "id is 1 to 256 bytes"),
        ("source", "1.5", "`source` gives"),
        ("type", "null", "`type` gives null"),
        ("time", "value.team", "`time` gives int"),
        ("time", "timestamp(value.id)", "`time` can't be evaluated"),
        ("time", "'yesterday'", "RFC 3339"),
        ("data", "value.users", "`data` gives list, not a map"),
        ("data", "{'a': 1 / (value.team - 7)}", "`data` can't be evaluated"),
    ] {
        let parked = parked(changed(field, expression));
        let users: Vec<_> = parked.iter().map(|s| s.user.as_ref().unwrap().as_str()).collect();
        assert_eq!(users, ["ann", "ben"], "{field}: {expression}");
        for parked in parked {
            let reason = parked.reason;
            assert!(parked.repairable, "{reason}");
            assert!(reason.starts_with("teams.yaml: sources[0]: "), "{reason}");
            assert!(reason.contains(why), "{expression}: {reason}");
        }
    }
}

#[test]
fn rule_22_what_fails_before_its_user_is_known_blocks_no_one() {
    for (field, expression, why) in [
        ("user", "value.missing", "`user` can't be evaluated"),
        ("user", "1.5", "`user` gives double, not a text"),
        ("user", "''", "user is 1 to 256 bytes"),
    ] {
        let parked = parked(changed(field, expression));
        let [one] = parked.as_slice() else { panic!("{parked:?}") };
        assert_eq!((&one.user, one.repairable), (&None, false));
        assert!(one.reason.contains(why), "{expression}: {}", one.reason);
    }
    for when in ["value.id", "value.id > 1"] {
        let mut entry = entry("user", "value.users");
        entry["when"] = when.into();
        let parked = parked(map_value(&sources(&[entry]), &value()));
        assert_eq!((parked.len(), parked[0].repairable), (1, false));
        assert!(parked[0].reason.contains("`when`"), "{}", parked[0].reason);
    }
}

/// As in the `where` of a task, other records of the topic may have another shape.
#[test]
fn a_when_that_names_a_missing_field_does_not_apply() {
    for when in ["value.missing == 'formed'", "value.missing", "value.missing.deeper > 1"] {
        let mut entry = entry("user", "value.users");
        entry["when"] = when.into();
        let sources = sources(&[entry]);
        assert!(map_value(&sources, &value()).is_empty(), "{when}");
        let record = OwnedRecord::from_json(&json!({"topic": "t", "value": value()}).to_string());
        let tried = sources.try_record(&record.unwrap().as_raw()).unwrap();
        assert!(matches!(tried[0].outcome, TrialOutcome::DoesNotApply), "{when}");
    }
    // `||` needs only one side that is true, even if the other one names a missing field.
    let mut either = entry("user", "value.users");
    either["when"] = "value.missing == 1 || has(value.id)".into();
    assert!(!map_value(&sources(&[either]), &value()).is_empty());
}

#[test]
fn one_bad_user_of_a_list_does_not_take_the_others_along() {
    let mapped = changed("user", "['ann', '', 'ben', 1.5]");
    let kinds: Vec<bool> = mapped.iter().map(|m| matches!(m, Mapped::Action(_))).collect();
    assert_eq!(kinds, [true, false, true, false]);
}

#[test]
fn what_is_not_json_is_parked_once() {
    let sources = sources(&[entry("user", "value.users"), entry("user", "value.users")]);
    for bytes in [&b"garbage"[..], b""] {
        let record = RawRecord { topic: "t", value: Some(bytes), ..RawRecord::default() };
        let parked = parked(sources.map(&record).unwrap());
        assert_eq!(parked.len(), 1);
        assert!(parked[0].reason.contains("read as JSON"));
    }
}

#[test]
fn a_tombstone_is_null_to_when() {
    let mut entry = entry("user", "value.users");
    entry["when"] = "value != null && value.kind == 'formed'".into();
    let record = RawRecord { topic: "t", value: None, ..RawRecord::default() };
    assert!(sources(&[entry]).map(&record).unwrap().is_empty());
}

#[test]
fn a_record_that_was_parked_is_mapped_with_its_key_and_timestamp() {
    let sources = sources(&[entry("id", "key + string(timestamp)")]);
    let headers = json!({"plaudit_key": "k", "plaudit_timestamp": TIME});
    let record = OwnedRecord::from_parked("t", 0, 0, &headers, value().to_string().as_bytes());
    assert!(actions(sources.map(&record.as_raw()).unwrap())[0].id.starts_with("k2026-03-29"));
}

#[test]
fn trying_a_file_shows_what_each_entry_makes_of_a_record() {
    let mut elsewhere = entry("user", "value.users");
    elsewhere["topic"] = "elsewhere".into();
    let mut never = entry("user", "value.users");
    never["when"] = "topic == 'another'".into();
    let sources = sources(&[entry("user", "'ann'"), elsewhere, never]);
    let tried = |value: &Value| {
        let record = OwnedRecord::from_json(&json!({"topic": "t", "value": value}).to_string());
        sources.try_record(&record.unwrap().as_raw()).unwrap()
    };
    let good = tried(&value());
    assert!(matches!(&good[0].outcome, TrialOutcome::Mapped(m) if m.len() == 1));
    assert_eq!(good[1].outcome, TrialOutcome::OtherTopic("elsewhere".into()));
    assert_eq!(good[2].outcome, TrialOutcome::DoesNotApply);
    assert!(good.iter().all(|tried| !tried.outcome.parks()));
    let bad = tried(&json!({"kind": "formed"}));
    assert!(bad[0].outcome.parks() && !bad[1].outcome.parks());
}
