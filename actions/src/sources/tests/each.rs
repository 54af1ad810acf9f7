//! `each`: one action for every entry of a list, with its own data.

use super::*;

/// Returns an entry that makes an action for each player of a match, with one field replaced.
fn of_players(field: &str, expression: &str) -> Value {
    let mut action = json!({"id": "value.id", "source": "'/matches'", "type": "'match.played'",
        "user": "item.name", "time": "timestamp(value.at)",
        "data": "{'score': item.score, 'players': size(value.players)}"});
    action[field] = expression.into();
    json!({"topic": "t", "each": "value.players", "action": action})
}

fn played() -> Value {
    json!({"id": "m-1", "at": TIME, "players": [{"name": "ann", "score": 3}, {"name": "ben", "score": 5}]})
}

#[test]
fn each_user_has_data_of_its_own() {
    let actions = actions(map_value(&sources(&[of_players("id", "value.id")]), &played()));
    let had: Vec<(&str, Value)> =
        actions.iter().map(|a| (a.user.as_str(), a.data.clone().into())).collect();
    assert_eq!(
        had,
        [("ann", json!({"score": 3, "players": 2})), ("ben", json!({"score": 5, "players": 2}))]
    );
    let numbered = sources(&[of_players("id", "value.id + '/' + item.name")]);
    assert_eq!(super::actions(map_value(&numbered, &played()))[1].id, "m-1/ben");
}

/// The example of the documentation, plus a `when`.
#[test]
fn one_mapping_gives_each_viewer_what_it_watched() {
    let text = r#"
sources:
  - topic: t
    when: value.kind == "ended"
    each: value.viewers
    action: { id: value.stream + '/' + item.uid, source: "'/live'", type: "'stream.watched'", user: item.uid,
              time: timestamp(value.at), data: "{'seconds': item.seconds, 'stream': value.stream}" }
"#;
    let file = SourceFile { path: "live.yaml".into(), text: text.to_owned() };
    let sources = Sources::compile(&[file]).unwrap();
    let value = json!({"kind": "ended", "stream": "s1", "at": TIME,
        "viewers": [{"uid": "ann", "seconds": 40}, {"uid": "ben", "seconds": 7}]});
    let actions = actions(map_value(&sources, &value));
    let had: Vec<(&str, &str, i64)> = actions
        .iter()
        .map(|a| (a.user.as_str(), a.id.as_str(), a.data["seconds"].as_i64().unwrap()))
        .collect();
    assert_eq!(had, [("ann", "s1/ann", 40), ("ben", "s1/ben", 7)]);
    assert!(map_value(&sources, &json!({"kind": "began"})).is_empty());
}

#[test]
fn an_entry_of_the_list_may_have_several_users() {
    let of_teams = sources(&[of_players("user", "item.names")]);
    let value = json!({"id": "m-1", "at": TIME, "players": [
        {"names": ["ann", "ben"], "score": 3}, {"names": [], "score": 4}, {"names": ["cid"], "score": 5}]});
    let actions = actions(map_value(&of_teams, &value));
    let had: Vec<(&str, i64)> =
        actions.iter().map(|a| (a.user.as_str(), a.data["score"].as_i64().unwrap())).collect();
    assert_eq!(had, [("ann", 3), ("ben", 3), ("cid", 5)]);
}

#[test]
fn rule_22_one_bad_entry_does_not_take_the_others_along() {
    let mut value = played();
    value["players"].as_array_mut().unwrap().insert(1, json!({"name": "cid"}));
    value["players"].as_array_mut().unwrap().insert(2, json!(7));
    let mapped = map_value(&sources(&[of_players("id", "value.id")]), &value);
    let [Mapped::Action(_), Mapped::Park(no_score), Mapped::Park(no_user), Mapped::Action(_)] =
        mapped.as_slice()
    else {
        panic!("{mapped:?}")
    };
    assert_eq!(
        (no_score.user.as_ref().map(UserId::as_str), no_score.repairable),
        (Some("cid"), true)
    );
    assert_eq!((&no_user.user, no_user.repairable), (&None, false));
}

#[test]
fn what_is_not_a_list_is_parked_once() {
    for (players, why) in
        [(json!({"a": 1}), "`each` gives map"), (Value::Null, "`each` gives null")]
    {
        let mut value = played();
        value["players"] = players;
        let parked = parked(map_value(&sources(&[of_players("id", "value.id")]), &value));
        assert_eq!((parked.len(), &parked[0].user, parked[0].repairable), (1, &None, false));
        assert!(parked[0].reason.contains(why), "{parked:?}");
    }
    let mut value = played();
    value["players"] = json!([]);
    assert!(map_value(&sources(&[of_players("id", "value.id")]), &value).is_empty());
}

#[test]
fn what_a_list_makes_of_a_record_is_bounded() {
    let of_teams = sources(&[of_players("user", "item.names")]);
    let teams = |teams: usize, users: usize, score: &str| {
        let names: Vec<String> = (0..users).map(|n| format!("u{n}")).collect();
        let team = json!({"names": names, "score": score});
        json!({"id": "m-1", "at": TIME, "players": vec![team; teams]})
    };
    assert_eq!(actions(map_value(&of_teams, &teams(2, 500, "1"))).len(), mapping::USERS_MAX);
    for (value, why) in [
        (teams(2, 501, "1"), "may have 1000"),
        (teams(mapping::USERS_MAX + 1, 1, "1"), "lists 1001 entries"),
        (teams(2, 500, &"x".repeat(70_000)), "`data` for each of its users"),
    ] {
        let parked = parked(map_value(&of_teams, &value));
        assert_eq!((parked.len(), &parked[0].user, parked[0].repairable), (1, &None, false));
        assert!(parked[0].reason.contains(why), "{parked:?}");
    }
}

/// The limit counts the memory of the copies: a list of small numbers takes about twenty times its
/// text.
#[test]
fn what_the_data_of_all_users_takes_in_memory_is_bounded() {
    let mut all = of_players("user", "item.names");
    all["action"]["data"] = "{'scores': item.scores}".into();
    let twice = sources(&[all.clone(), all.clone()]);
    let of_all = sources(&[all]);
    let with = |users: usize, scores: usize| {
        let names: Vec<String> = (0..users).map(|n| format!("u{n}")).collect();
        json!({"id": "m-1", "at": TIME, "players": [{"names": names, "scores": vec![0; scores]}]})
    };
    let fits = with(500, 2_000);
    assert_eq!(actions(map_value(&of_all, &fits)).len(), 500);
    // 4 MB of text become 97 MB in memory.
    let parked_once = parked(map_value(&of_all, &with(1_000, 2_000)));
    assert_eq!(parked_once.len(), 1);
    assert!(parked_once[0].reason.contains("bytes of memory"), "{parked_once:?}");
    // All entries of a topic share the limit.
    let mapped = map_value(&twice, &fits);
    let parked = mapped.iter().filter(|mapped| matches!(mapped, Mapped::Park(_))).count();
    assert_eq!((mapped.len() - parked, parked), (500, 1));
}

/// The limit leaves room for objects, which take far more memory than their text.
#[test]
fn a_thousand_users_may_have_a_list_of_objects_each() {
    let mut all = of_players("user", "item.names");
    all["action"]["data"] = "{'rounds': item.rounds}".into();
    let names: Vec<String> = (0..mapping::USERS_MAX).map(|n| format!("u{n}")).collect();
    let rounds = vec![json!({"round": 1, "score": 2}); 40];
    let value = json!({"id": "m-1", "at": TIME, "players": [{"names": names, "rounds": rounds}]});
    assert_eq!(actions(map_value(&sources(&[all]), &value)).len(), mapping::USERS_MAX);
}

#[test]
fn item_is_known_beside_each_only() {
    let error = |entry: Value| {
        let text = json!({ "sources": [entry] }).to_string();
        let errors = parse(Path::new("a.yaml"), &text).expect_err(&text);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let mut without = of_players("id", "value.id");
    without.as_object_mut().unwrap().remove("each");
    assert!(error(without).contains("\"item\" is not known here"));
    let mut in_when = of_players("id", "value.id");
    in_when["when"] = "item.score > 0".into();
    assert!(error(in_when).contains("sources[0].when"));
    let misplaced = of_players("each", "value.players");
    assert!(error(misplaced).contains("sources[0].action.each: belongs beside `action`"));
}

/// Otherwise a thousand entries could take a thousand times as long as one.
#[test]
fn all_entries_share_what_a_record_may_cost() {
    let sums = sources(&[of_players("data", "{'n': value.players.map(x, x.score).size()}")]);
    let match_of = |players: usize| {
        let players: Vec<Value> =
            (0..players).map(|n| json!({"name": format!("u{n}"), "score": n})).collect();
        json!({"id": "m-1", "at": TIME, "players": players})
    };
    assert_eq!(actions(map_value(&sums, &match_of(100))).len(), 100);
    let parked = map_value(&sums, &match_of(1_000));
    let why = parked.iter().find_map(|mapped| match mapped {
        Mapped::Park(reason) => Some(reason.reason.clone()),
        Mapped::Action(_) => None,
    });
    assert!(why.unwrap().contains("allowance"), "{parked:?}");
}
