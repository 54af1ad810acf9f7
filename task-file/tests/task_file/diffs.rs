//! The changes that `diff` reports.

use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_task_file::{diff, parse};
use serde_json::{Value, json};

fn task(more: &str) -> TaskDefinition {
    let file = format!(
        "{{tasks: [{{id: a, kind: periodic, every: day, text: {{en: {{title: A}}}}, {more}}}]}}"
    );
    parse(&file).unwrap_or_else(|errors| panic!("{file} {errors:#?}")).remove(0)
}

fn changes(before: &str, after: &str) -> Value {
    let changes = diff(&task(before), &task(after)).into_iter();
    changes.map(|change| json!([change.path, change.before, change.after])).collect()
}

#[test]
fn a_change_names_the_field_and_both_values() {
    let plain = "objective: {on: [x, y], target: 3}";
    assert_eq!(changes(plain, plain), json!([]));
    assert_eq!(
        changes(plain, "objective: {on: [x], where: data.a == 1, target: 5}, order: 2, zone: user"),
        json!([
            ["milestones[at: 3]", { "at": 3 }, null],
            ["milestones[at: 5]", null, { "at": 5 }],
            ["objective.on", ["x", "y"], ["x"]],
            ["objective.where", null, "data.a == 1"],
            ["order", null, 2],
            ["zone", null, "user"],
        ])
    );
}

#[test]
fn milestones_and_lines_are_matched_by_name_and_not_by_place() {
    let line = |line: &str, amount: i64| {
        format!("{{line: {line}, kind: currency, code: coin, amount: {amount}}}")
    };
    let before = format!(
        "objective: {{on: x}}, milestones: [{{at: 1, rewards: [{}]}}, {{at: 9, rewards: [{}, {}]}}]",
        line("a", 1),
        line("b", 2),
        line("c", 3)
    );
    let after = format!(
        "objective: {{on: x}}, milestones: [{{at: 5}}, {{at: 9, rewards: [{}, {}]}}]",
        line("c", 30),
        line("b", 2)
    );
    assert_eq!(
        changes(&before, &after),
        json!([
            ["milestones[at: 1]", { "at": 1, "rewards": [{ "line": "a", "kind": "currency", "code": "coin", "amount": 1 }] }, null],
            ["milestones[at: 5]", null, { "at": 5 }],
            ["milestones[at: 9].rewards[line: c].amount", 3, 30],
        ])
    );
}
