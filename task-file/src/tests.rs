//! The YAML of task files. `tests/task_file/files.rs` tests the meaning of fields.

use proptest::prelude::*;

mod whole_format;

use crate::{parse, parse_located};

const SAMPLES: &str = include_str!("../../samples/tasks.yaml");

/// Odd YAML: each file with its only error, or none.
#[test]
fn yaml_has_no_surprises() {
    let task = "tasks:\n- id: a\n  kind: ordinary\n  text: { en: { title: A } }\n  objective:\n    on: x\n    target: 1\n";
    assert!(parse(task).is_ok());
    assert!(parse(&format!("\u{feff}%YAML 1.2\n---\n{}...\n", task.replace('\n', "\r\n"))).is_ok());
    let odd = [
        (String::new(), "1:1: file: the file is empty; a small task file is {tasks:"),
        ("# nothing\n".into(), "1:1: file: the file is empty"),
        ("[]".into(), "1:1: file: must be a mapping, got a list"),
        ("tasks: []".into(), "1:8: tasks: must have at least one item"),
        (
            "tasks: [!task {}]".into(),
            "1:9: tasks[0]: must be a mapping, got a value with a YAML tag",
        ),
        (
            task.replace("  kind", "\tkind"),
            "2:7: file: not valid YAML or JSON: while scanning a plain scalar, found a tab",
        ),
        (format!("{task}    on: y\n"), "8:5: file: not valid YAML or JSON: duplicated key"),
        (format!("{task}---\n{task}"), "9:1: file: a file holds one document"),
        (
            task.replace("target: 1", "target: 1.0"),
            "7:13: tasks[0].objective.target: must be an integer",
        ),
        (
            task.replace("target: 1", "target: 99999999999999999999"),
            "7:13: tasks[0].objective.target: must be an integer of 64 bits",
        ),
        (
            task.replace("target: 1", "target: '1'"),
            "7:13: tasks[0].objective.target: must be an integer, got a text: write 1 without quotes",
        ),
        (
            task.replace("target: 1", "target: yes"),
            "7:13: tasks[0].objective.target: must be an integer, got the text \"yes\"",
        ),
        (
            task.replace("target: 1", "1: 1\n    target: 1"),
            "7:5: tasks[0].objective: a key must be a text, got the number 1",
        ),
        (
            task.replace("on: x", "on: &a x").replace("target: 1", "target: *a"),
            "7:13: file: aliases are not supported",
        ),
        (
            format!("{}- 1", "- ".repeat(100_000)),
            "1:257: file: nothing may be nested more than 128 deep",
        ),
        ("[".repeat(100_000), "1:256: file: not valid YAML or JSON: recursion limit"),
        (
            format!("a: {}", "x".repeat(5_000_000)),
            "1:1: file: a task file has at most 4194304 bytes",
        ),
        (
            format!("[{}]", "1,".repeat(500_000)),
            "1:1000000: file: a task file has at most 500000 values",
        ),
    ];
    for (text, expected) in odd {
        let diagnostics = parse(&text).expect_err("the file should be refused");
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert!(diagnostics[0].to_string().starts_with(expected), "{}", diagnostics[0]);
    }
}

/// Python's `json.dumps` writes every emoji as two escapes.
#[test]
fn json_may_escape_an_emoji_as_two_halves() {
    let file = |title: &str, target: &str| {
        format!(
            r#"{{"tasks": [{{"id": "a", "kind": "ordinary", "text": {{"en": {{"title": "{title}"}}}}, "objective": {{"on": "x", "target": {target}}}}}]}}"#
        )
    };
    for (title, meant) in [
        (r"\ud83c\udf81 and \uD83D\uDE00", "\u{1f381} and \u{1f600}"),
        (r"\u9996\u6b21 \ud83c\udf81", "首次 \u{1f381}"),
        (r"\\ud83c\\udf81", r"\ud83c\udf81"),
        (r"\\\ud83c\udf81", "\\\u{1f381}"),
    ] {
        let tasks = parse(&file(title, "1"))
            .unwrap_or_else(|diagnostics| panic!("{title}: {diagnostics:?}"));
        assert_eq!(tasks[0].text["en"].title, meant, "{title}");
    }
    let alone = parse(&file(r"\ud83c", "1")).unwrap_err();
    assert!(alone[0].message.contains("not valid YAML or JSON"), "{alone:?}");

    let escaped = file(r"\ud83c\udf81 \ud83c\udf81", "0");
    let column = escaped.find("0}").unwrap() + 1;
    assert_eq!(parse(&escaped).unwrap_err()[0].column, column, "as it was written");
}

#[test]
fn a_task_knows_where_each_of_its_fields_stands() {
    let tasks = parse_located(
        "tasks:
  - { id: a, kind: ordinary, objective: { on: x, target: 1 } }
  - id: b
    kind: ordinary
    requires: [ a, c ]
    objective: { on: x, target: 1 }
    rewards: [ { line: a, kind: b, code: c, amount: 1 } ]
",
    )
    .unwrap()
    .tasks;
    let at = |field: &str| tasks[1].diagnostic(field, "no").to_string();
    assert_eq!(at("id"), "3:9: tasks[1].id: no");
    assert_eq!(at("requires[1]"), "5:20: tasks[1].requires[1]: no");
    assert_eq!(at("objective.on"), "6:22: tasks[1].objective.on: no");
    assert_eq!(at("milestones[0].rewards[0].line"), "7:24: tasks[1].rewards[0].line: no");
    assert_eq!(at("milestones[0].rewards[9].line"), "7:14: tasks[1].rewards: no", "the nearest");
    assert_eq!(at("zone"), "3:5: tasks[1]: no", "what is not there is the task's error");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn parsing_never_panics(text in "\\PC*|[-?:&*!\\[\\]{}|>'\"%@`#,a \n\t\r]*") {
        let _ = parse(&text);
    }

    #[test]
    fn every_error_of_a_damaged_file_has_a_place_and_one_line(
        at in 0..SAMPLES.len(), len in 0..60usize, patch in "\\PC{0,5}|[-?:&*!\\[\\]{}|>'\"%#,~0 \n\t]{0,8}",
    ) {
        let mut bytes = SAMPLES.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, patch.into_bytes());
        if let Err(diagnostics) = parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!diagnostics.is_empty());
            for error in diagnostics {
                prop_assert!(error.line >= 1 && error.column >= 1 && !error.message.contains('\n'), "{error}");
            }
        }
    }
}
