//! A catalogue that is exported publishes to the same definitions.

use std::collections::BTreeMap;

use plaudit_domain::catalogue::definition::{
    Meta, Milestone, Payout, RewardLine, Rewards, TaskDefinition, Text,
};
use plaudit_task_file::{parse, to_json, to_yaml};
use proptest::prelude::*;

const SAMPLES: &str = include_str!("../../../samples/tasks.yaml");
const DOCUMENTATION: &str = include_str!("../../../docs/tasks.md");

#[track_caller]
fn assert_round_trip(definitions: &[TaskDefinition]) {
    for file in [to_yaml(definitions), to_json(definitions)] {
        let read = parse(&file).unwrap_or_else(|errors| panic!("{file}\n{errors:#?}"));
        assert_eq!(read, definitions, "{file}");
    }
}

#[test]
fn what_was_exported_reads_as_the_same_definitions() {
    let examples =
        DOCUMENTATION.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    for example in examples.chain([SAMPLES]) {
        assert_round_trip(&parse(example).unwrap());
    }
}

#[test]
fn an_export_is_written_for_people() {
    let task = "{default_locale: zh, tasks: [{id: a, kind: periodic, every: day, text: {zh: {title: '甲'}}, objective: {on: x, target: 3, lateness: P1D}}]}";
    let expected = "\
tasks:
  - id: a
    kind: periodic
    default_locale: zh
    text:
      zh:
        title: 甲
    every: day
    objective:
      \"on\":
        - x
      lateness: P1D
    milestones:
      - at: 3
";
    assert_eq!(to_yaml(&parse(task).unwrap()), expected);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_odd_to_be_exported(
        title in "[-?:&*!\\[\\]{}|>'\"%@`#,a. 0-9~+noyes]{1,12}x",
        description in "([-?:&*!\\[\\]{}|>'\"%@`#,a. \n\t~]|\\PC){0,30}",
        word in "\\PC{0,8}[a-z&*]",
        tag in "(no|on|yes|null|de)",
    ) {
        let mut task = parse(SAMPLES).unwrap().remove(0);
        let meta = Meta::from_iter([(description.replace('\0', ""), title.clone().into())]);
        let pays = Rewards::Fixed(Payout { kind: word.clone(), code: word.clone(), amount: 1 });
        let line = RewardLine { line: word, pays, budget: None, title: BTreeMap::new(), meta: meta.clone() };
        task.milestones = vec![Milestone { at: 1, rewards: vec![line], meta }];
        task.text.insert(tag, Text { title, description });
        assert_round_trip(&[task]);
    }
}
