//! What YAML itself can do to a file. The meaning of fields is tested in `tests/catalogue_parse.rs`.

use proptest::prelude::*;

use super::parse;

const SAMPLES: &str = include_str!("../../../../samples/tasks.yaml");

/// What YAML makes of a file: each with the only fault, or none.
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
            "2:7: file: this is no YAML or JSON: while scanning a plain scalar, found a tab",
        ),
        (format!("{task}    on: y\n"), "8:5: file: this is no YAML or JSON: duplicated key"),
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
            "7:1: file: the alias *a is not supported",
        ),
        (
            format!("{}- 1", "- ".repeat(100_000)),
            "1:1: file: nothing may be indented by more than 128 columns",
        ),
        ("[".repeat(100_000), "1:256: file: this is no YAML or JSON: recursion limit"),
        (
            format!("a: {}", "x".repeat(2_000_000)),
            "1:1: file: a task file has at most 1048576 bytes",
        ),
    ];
    for (text, expected) in odd {
        let faults = parse(&text).expect_err("the file should be refused");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].to_string().starts_with(expected), "{}", faults[0]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_odd_to_be_judged(text in "\\PC*|[-?:&*!\\[\\]{}|>'\"%@`#,a \n\t\r]*") {
        let _ = parse(&text);
    }

    #[test]
    fn no_damage_to_a_file_is_too_odd_to_be_judged(
        at in 0..SAMPLES.len(), len in 0..60usize, patch in "\\PC{0,5}|[-?:&*!\\[\\]{}|>'\"%#,~0 \n\t]{0,8}",
    ) {
        let mut bytes = SAMPLES.as_bytes().to_vec();
        let end = (at + len).min(bytes.len());
        bytes.splice(at..end, patch.into_bytes());
        if let Err(faults) = parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!faults.is_empty());
            for fault in faults {
                prop_assert!(fault.line >= 1 && fault.column >= 1 && !fault.message.contains('\n'), "{fault}");
            }
        }
    }
}
