use super::*;

/// A source file of one entry for the topic `t`, changed at one field of its action.
fn entry(field: &str, expression: &str) -> Value {
    let mut action = json!({"id": "value.id", "source": "'/teams'", "type": "'team.formed'",
        "user": "value.users", "time": "timestamp(value.at)", "data": "{'team': value.team}"});
    action[field] = expression.into();
    json!({"topic": "t", "when": "value.kind == 'formed'", "action": action})
}

fn sources(entries: &[Value]) -> Sources {
    let text = json!({ "sources": entries }).to_string();
    let mut sources = Sources::default();
    let mappings = file::parse(Path::new("dir/teams.yaml"), &text).unwrap();
    mappings.into_iter().for_each(|mapping| sources.add(mapping));
    sources
}

fn value() -> Value {
    json!({"kind": "formed", "id": "e-1", "users": ["ann", "ben"], "at": TIME, "team": 7})
}

fn read_value(sources: &Sources, value: &Value) -> Vec<Reading> {
    let text = value.to_string();
    sources.read(&RawRecord { topic: "t", value: Some(text.as_bytes()), ..RawRecord::default() })
}

/// What an entry changed at one field makes of a record.
fn changed(field: &str, expression: &str) -> Vec<Reading> {
    read_value(&sources(&[entry(field, expression)]), &value())
}

fn actions(readings: Vec<Reading>) -> Vec<Action> {
    let action = |reading| match reading {
        Reading::Action(action) => action,
        Reading::SetAside(set_aside) => panic!("{set_aside:?}"),
    };
    readings.into_iter().map(action).collect()
}

fn set_aside(readings: Vec<Reading>) -> Vec<SetAside> {
    let set_aside = |reading| match reading {
        Reading::SetAside(set_aside) => set_aside,
        Reading::Action(action) => panic!("{action:?}"),
    };
    readings.into_iter().map(set_aside).collect()
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

/// Without a limit one record could fill the memory, again after each restart.
#[test]
fn a_record_with_too_many_users_is_set_aside_once_as_a_whole() {
    let of_users = |count: usize| {
        let mut value = value();
        value["users"] = (0..count).map(|n| json!(format!("u{n}"))).collect();
        read_value(&sources(&[entry("source", "'/teams'")]), &value)
    };
    assert_eq!(actions(of_users(mapping::USERS_MAX)).len(), mapping::USERS_MAX);
    let aside = set_aside(of_users(mapping::USERS_MAX + 1));
    assert_eq!((aside.len(), &aside[0].user, aside[0].repairable), (1, &None, false));
    assert!(aside[0].reason.contains("lists 1001 users, and a record may have 1000"), "{aside:?}");
}

#[test]
fn what_would_be_copied_for_each_user_is_bounded() {
    let mut value = value();
    value["users"] = (0..mapping::USERS_MAX).map(|n| json!(format!("u{n}"))).collect();
    value["text"] = "x".repeat(20_000).into();
    let large = read_value(&sources(&[entry("data", "{'text': value.text}")]), &value);
    let aside = set_aside(large);
    assert_eq!(aside.len(), 1);
    assert!(aside[0].reason.contains("`data` for each of 1000 users"), "{aside:?}");
    // The same where the record itself would be set aside for each.
    let aside = set_aside(read_value(&sources(&[entry("id", "value.nothing")]), &value));
    assert_eq!((aside.len(), &aside[0].user), (1, &None));
    assert!(aside[0].reason.contains("once instead of 1000 times"), "{aside:?}");
    assert!(aside[0].reason.contains("`id`"), "{aside:?}");
}

#[test]
fn a_record_to_which_no_entry_applies_means_nothing() {
    let mut other = value();
    other["kind"] = "left".into();
    assert!(read_value(&sources(&[entry("user", "value.users")]), &other).is_empty());
}

#[test]
fn each_entry_that_applies_gives_its_own_actions_in_order() {
    let mut always = entry("type", "'team.seen'");
    always.as_object_mut().unwrap().remove("when");
    always["action"].as_object_mut().unwrap().remove("data");
    always["action"]["user"] = "value.users[0]".into();
    let sources = sources(&[entry("user", "value.users"), always]);
    let actions = actions(read_value(&sources, &value()));
    let kinds: Vec<&str> = actions.iter().map(|a| a.kind.as_str()).collect();
    assert_eq!(kinds, ["team.formed", "team.formed", "team.seen"]);
    assert!(actions[2].data.is_empty());
}

#[test]
fn other_topics_carry_cloud_events() {
    let sources = sources(&[entry("user", "value.users")]);
    let text = event().to_string();
    let record = RawRecord { topic: "other", value: Some(text.as_bytes()), ..RawRecord::default() };
    assert_eq!(actions(sources.read(&record)).len(), 1);
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
    let data = actions(sources.read(&record)).remove(0).data;
    let wanted = json!({"k":"k-1","h":"last","none":false,"t":"t","p":3,"o":9,"late":true});
    assert_eq!(Value::from(data), wanted);
}

#[test]
fn what_is_named_by_a_number_is_named_by_its_digits() {
    let actions = actions(changed("id", "value.team"));
    assert_eq!(actions[0].id, "7");
    assert_eq!(changed("user", "value.team").len(), 1);
}

#[test]
fn times_are_timestamps_or_texts() {
    for (expression, wanted) in [
        ("value.at", TIME),
        ("timestamp(value.at)", TIME),
        ("timestamp(1774747800)", "2026-03-29T01:30:00Z"),
        ("timestamp(value.at) + duration('1500ms')", "2026-03-29T01:30:01.5Z"),
        ("'2026-03-29T01:30:00.1234567+01:00'", "2026-03-29T00:30:00.123456Z"),
    ] {
        let at = actions(changed("time", expression))[0].occurred_at;
        assert_eq!(at, wanted.parse().unwrap(), "{expression}");
    }
}

#[test]
fn rule_22_a_field_that_fails_sets_each_user_aside_repairably() {
    for (field, expression, why) in [
        ("id", "value.missing", "`id` can't be evaluated"),
        ("id", "value.users", "`id` gives list, not a text"),
        ("id", "''", "id is 1 to 256 bytes"),
        ("source", "1.5", "`source` gives"),
        ("type", "null", "`type` gives null"),
        ("time", "value.team", "`time` gives int"),
        ("time", "timestamp('yesterday')", "`time` can't be evaluated"),
        ("time", "'yesterday'", "RFC 3339"),
        ("data", "value.users", "`data` gives list, not a map"),
        ("data", "{'a': 1 / 0}", "`data` can't be evaluated"),
    ] {
        let set_aside = set_aside(changed(field, expression));
        let users: Vec<_> = set_aside.iter().map(|s| s.user.as_ref().unwrap().as_str()).collect();
        assert_eq!(users, ["ann", "ben"], "{field}: {expression}");
        for set_aside in set_aside {
            let reason = set_aside.reason;
            assert!(set_aside.repairable, "{reason}");
            assert!(reason.starts_with("teams.yaml: sources[0]: "), "{reason}");
            assert!(reason.contains(why), "{expression}: {reason}");
        }
    }
}

#[test]
fn rule_22_what_fails_before_its_user_is_known_blocks_no_one() {
    for (field, expression, why) in [
        ("user", "value.missing", "`user` can't be evaluated"),
        ("user", "1.5", "`user` gives float, not a text"),
        ("user", "''", "user is 1 to 256 bytes"),
    ] {
        let set_aside = set_aside(changed(field, expression));
        let [one] = set_aside.as_slice() else { panic!("{set_aside:?}") };
        assert_eq!((&one.user, one.repairable), (&None, false));
        assert!(one.reason.contains(why), "{expression}: {}", one.reason);
    }
    for when in ["value.missing", "value.id", "value.id > 1"] {
        let mut entry = entry("user", "value.users");
        entry["when"] = when.into();
        let set_aside = set_aside(read_value(&sources(&[entry]), &value()));
        assert_eq!((set_aside.len(), set_aside[0].repairable), (1, false));
        assert!(set_aside[0].reason.contains("`when`"), "{}", set_aside[0].reason);
    }
}

#[test]
fn one_bad_user_of_a_list_does_not_take_the_others_along() {
    let readings = changed("user", "['ann', '', 'ben', 1.5]");
    let kinds: Vec<bool> = readings.iter().map(|r| matches!(r, Reading::Action(_))).collect();
    assert_eq!(kinds, [true, false, true, false]);
}

#[test]
fn what_is_no_json_is_set_aside_once() {
    let sources = sources(&[entry("user", "value.users"), entry("user", "value.users")]);
    for bytes in [&b"garbage"[..], b""] {
        let record = RawRecord { topic: "t", value: Some(bytes), ..RawRecord::default() };
        let set_aside = set_aside(sources.read(&record));
        assert_eq!(set_aside.len(), 1);
        assert!(set_aside[0].reason.contains("read as JSON"));
    }
}

#[test]
fn a_tombstone_is_null_to_when() {
    let mut entry = entry("user", "value.users");
    entry["when"] = "value != null && value.kind == 'formed'".into();
    let record = RawRecord { topic: "t", value: None, ..RawRecord::default() };
    assert!(sources(&[entry]).read(&record).is_empty());
}

#[test]
fn a_record_that_was_set_aside_is_read_with_its_key_and_timestamp() {
    let sources = sources(&[entry("id", "key + string(timestamp)")]);
    let headers = json!({"plaudit_key": "k", "plaudit_timestamp": TIME});
    let record = OwnedRecord::from_parked("t", 0, 0, &headers, value().to_string().as_bytes());
    assert!(actions(sources.read(&record.as_raw()))[0].id.starts_with("k2026-03-29"));
}

#[test]
fn trying_a_file_shows_what_each_entry_makes_of_a_record() {
    let dir = tempfile_dir("try");
    let mut elsewhere = entry("user", "value.users");
    elsewhere["topic"] = "elsewhere".into();
    let mut never = entry("user", "value.users");
    never["when"] = "false".into();
    let text = json!({"sources": [entry("user", "'ann'"), elsewhere, never]}).to_string();
    let path = dir.join("teams.yaml");
    std::fs::write(&path, text).unwrap();
    let record = json!({"topic": "t", "value": value()}).to_string();
    let tried = try_record(&path, &record).unwrap();
    assert!(matches!(&tried[0].outcome, TrialOutcome::Readings(r) if r.len() == 1));
    assert_eq!(tried[1].outcome, TrialOutcome::OtherTopic("elsewhere".into()));
    assert_eq!(tried[2].outcome, TrialOutcome::DoesNotApply);
    assert!(matches!(try_record(&path, "{}"), Err(TrialError::Record(_))));
    assert!(matches!(try_record(&dir.join("none"), &record), Err(TrialError::Faulty(_))));
    std::fs::remove_dir_all(dir).unwrap();
}
