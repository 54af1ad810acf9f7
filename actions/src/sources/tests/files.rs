use super::*;

fn errors(text: &str) -> Vec<String> {
    let errors = parse(Path::new("a.yaml"), text).map(|_| ()).expect_err(text);
    errors.iter().map(ToString::to_string).collect()
}

const EXAMPLE: &str = r#"
sources:
  - topic: game.teams.v2
    when: value.kind == "formed"
    action: { id: value.event_id, source: "'/teams'", type: "'team.formed'", user: value.member_ids,
              time: timestamp(value.at), data: "{'team': value.team_id, 'size': size(value.member_ids)}" }
"#;

#[test]
fn the_example_of_the_contract_is_read() {
    let mappings = parse(Path::new("teams.yaml"), EXAMPLE).unwrap();
    assert_eq!(mappings[0].topic, "game.teams.v2");
    assert_eq!(mappings[0].name, "teams.yaml: sources[0]");
    parse(Path::new("teams.yaml"), &format!("\u{feff}{EXAMPLE}")).unwrap();
}

#[test]
fn every_error_is_named_with_its_place() {
    let text = "sources:
  - topic: 'a b'
    wen: true
    action:
      id: value.id +
      source: /teams
      type: team.formed
      user: usr
      data: 5
";
    let errors = errors(text);
    let places: Vec<&str> =
        errors.iter().map(|error| error.split_inclusive(": ").take(2).last().unwrap()).collect();
    assert_eq!(
        places,
        [
            "sources[0].topic: ",
            "sources[0].wen: ",
            "sources[0].action.time: ",
            "sources[0].action.id: ",
            "sources[0].action.source: ",
            "sources[0].action.type: ",
            "sources[0].action.user: ",
            "sources[0].action.data: ",
        ],
        "{errors:#?}"
    );
    assert!(
        errors[0].starts_with("a.yaml:2:12: sources[0].topic: \"a b\" can't be"),
        "{}",
        errors[0]
    );
    assert!(errors[4].contains("quotes of its own: \"'/teams'\""), "{}", errors[4]);
    assert!(errors[5].contains("quotes of its own: \"'team.formed'\""), "{}", errors[5]);
    assert!(errors[6].contains("\"usr\" is not known here, only value, headers"), "{}", errors[6]);
    assert!(errors.iter().all(|error| !error.contains('\n')));
}

#[test]
fn other_shapes_are_refused() {
    for (text, expected) in [
        ("", "a.yaml:1:1: file: the file is empty"),
        ("# nothing", "the file is empty"),
        ("sources: [", "not valid YAML or JSON"),
        ("a: b: c", "not valid YAML or JSON"),
        ("[]", "a.yaml:1:1: file: must be a mapping of sources"),
        ("sources: {}", "a.yaml:1:10: sources: must be a list"),
        ("sources: []", "sources: must have at least one entry"),
        ("tasks: []", "sources: is missing"),
        ("sources: [5]", "sources[0]: must be a mapping of topic, format, when, each, action"),
        ("sources: [{topic: t}]", "sources[0].action: is missing"),
        (
            "sources: [{topic: '.', action: {}}]",
            "sources[0].topic: \".\" can't be the name of a topic",
        ),
        (
            "sources: [{topic: .., action: {}}]",
            "sources[0].topic: \"..\" can't be the name of a topic",
        ),
        ("sources: [{topic: 5, action: {}}]", "sources[0].topic: must be a text"),
        ("{sources: [{topic: t}]}\n---\n{}", "a file holds one document"),
        ("sources: [{topic: t, topic: u, action: {}}]", "duplicated key in mapping"),
        (
            "sources: [{topic: t, format: xml, action: {}}]",
            "sources[0].format: a format is one of json, avro, protobuf, json-schema",
        ),
        (
            "sources: [{topic: t, whne: 'true', action: {}}]",
            "sources[0].whne: is not known here; did you mean `when`?",
        ),
        (
            "sources: [{topic: t, action: {tpye: \"'a'\"}}]",
            "sources[0].action.tpye: is not known here; did you mean `type`?",
        ),
        (
            "sources: [{topic: t, action: {colour: \"'a'\"}}]",
            "sources[0].action.colour: is not known here, only id, source,",
        ),
        ("source: []", "source: is not known here; did you mean `sources`?"),
    ] {
        let errors = errors(text);
        assert!(errors.iter().any(|error| error.contains(expected)), "{text}: {errors:#?}");
    }
}

#[test]
fn a_folder_that_is_absent_or_empty_has_no_sources() {
    assert!(Sources::load(Path::new("/nowhere/at/all")).unwrap().by_topic.is_empty());
}

#[test]
fn all_files_of_a_folder_are_read_and_all_their_errors_named() {
    let dir = tempfile_dir("load");
    std::fs::write(dir.join("a.yaml"), EXAMPLE).unwrap();
    std::fs::write(dir.join("README.md"), "sources").unwrap();
    assert_eq!(Sources::load(&dir).unwrap().topics().collect::<Vec<_>>(), ["game.teams.v2"]);
    std::fs::write(dir.join("b.yml"), "sources: 5").unwrap();
    std::fs::write(dir.join("c.json"), b"\xff").unwrap();
    let errors = Sources::load(&dir).unwrap_err();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].file.ends_with("b.yml") && errors[1].file.ends_with("c.json"));
    assert_eq!(check(&files_of(&dir).unwrap()), errors);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_sample_is_read() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sources.yaml");
    assert_eq!(check(&[sample]), []);
}

/// Each pattern is within its own limit, but together they would cost every process time and
/// memory.
#[test]
fn rule_23_patterns_are_bounded_over_all_files() {
    let file = |name: &str, numbers: std::ops::Range<usize>| {
        let entry = |n: usize| {
            // 13 ranges, 490 times.
            let when = format!("value.s.matches('^[acegikmoqsuwy]{{1,490}}{n}$')");
            let action = json!({"id": "value.id", "source": "'/s'", "type": "'x'", "user": "value.user",
                "time": "timestamp(value.at)"});
            json!({"topic": "t", "when": when, "action": action})
        };
        let text = json!({"sources": numbers.map(entry).collect::<Vec<_>>()}).to_string();
        SourceFile { path: name.into(), text }
    };
    let (a, b) = (file("a.yaml", 0..45), file("b.yaml", 45..90));
    assert!(Sources::compile(std::slice::from_ref(&a)).is_ok());
    assert!(
        Sources::compile(&[a.clone(), file("again.yaml", 0..45)]).is_ok(),
        "equal ones count once"
    );
    let errors = Sources::compile(&[a, b]).unwrap_err();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].to_string().contains("b.yaml"), "{errors:?}");
    assert!(errors[0].to_string().contains("500000 are allowed"), "{errors:?}");
}
