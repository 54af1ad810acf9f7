use super::*;

fn faults(text: &str) -> Vec<String> {
    let faults = file::parse(Path::new("a.yaml"), text).map(|_| ()).expect_err(text);
    faults.iter().map(ToString::to_string).collect()
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
    let mappings = file::parse(Path::new("teams.yaml"), EXAMPLE).unwrap();
    assert_eq!(mappings[0].topic(), "game.teams.v2");
    assert_eq!(mappings[0].name, "teams.yaml: sources[0]");
    file::parse(Path::new("teams.yaml"), &format!("\u{feff}{EXAMPLE}")).unwrap();
}

#[test]
fn every_fault_is_named_with_its_place() {
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
    let faults = faults(text);
    let places: Vec<&str> =
        faults.iter().map(|fault| fault.split_inclusive(": ").take(2).last().unwrap()).collect();
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
        "{faults:#?}"
    );
    assert!(faults[0].starts_with("a.yaml:2:12: sources[0].topic: a topic is"), "{}", faults[0]);
    assert!(faults[4].contains("quotes of its own: \"'/teams'\""), "{}", faults[4]);
    assert!(faults[5].contains("quotes of its own: \"'team.formed'\""), "{}", faults[5]);
    assert!(faults[6].contains("\"usr\" is not known here, only value, headers"), "{}", faults[6]);
    assert!(faults.iter().all(|fault| !fault.contains('\n')));
}

#[test]
fn other_shapes_are_refused() {
    for (text, wanted) in [
        ("", "a.yaml:1:1: file: the file is empty"),
        ("# nothing", "the file is empty"),
        ("sources: [", "this is no YAML or JSON"),
        ("a: b: c", "this is no YAML or JSON"),
        ("[]", "a.yaml:1:1: file: must be a mapping of sources"),
        ("sources: {}", "a.yaml:1:10: sources: must be a list"),
        ("sources: []", "sources: must have at least one entry"),
        ("tasks: []", "sources: is missing"),
        ("sources: [5]", "sources[0]: must be a mapping of topic, when, action"),
        ("sources: [{topic: t}]", "sources[0].action: is missing"),
        ("sources: [{topic: 5, action: {}}]", "sources[0].topic: must be a text"),
        ("{sources: [{topic: t}]}\n---\n{}", "a file holds one document"),
    ] {
        let faults = faults(text);
        assert!(faults.iter().any(|fault| fault.contains(wanted)), "{text}: {faults:#?}");
    }
}

#[test]
fn a_folder_that_is_absent_or_empty_has_no_sources() {
    assert!(Sources::load(Path::new("/nowhere/at/all")).unwrap().by_topic.is_empty());
}

#[test]
fn all_files_of_a_folder_are_read_and_all_their_faults_named() {
    let dir = tempfile_dir("load");
    std::fs::write(dir.join("a.yaml"), EXAMPLE).unwrap();
    std::fs::write(dir.join("README.md"), "sources").unwrap();
    assert_eq!(Sources::load(&dir).unwrap().topics().collect::<Vec<_>>(), ["game.teams.v2"]);
    std::fs::write(dir.join("b.yml"), "sources: 5").unwrap();
    std::fs::write(dir.join("c.json"), b"\xff").unwrap();
    let faults = Sources::load(&dir).unwrap_err();
    assert_eq!(faults.len(), 2);
    assert!(faults[0].file.ends_with("b.yml") && faults[1].file.ends_with("c.json"));
    assert_eq!(check(&files_of(&dir).unwrap()), faults);
    std::fs::remove_dir_all(dir).unwrap();
}

#[test]
fn the_sample_is_read() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sources.yaml");
    assert_eq!(check(&[sample]), []);
}
