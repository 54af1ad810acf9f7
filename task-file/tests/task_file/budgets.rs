//! Budgets in task files: their meaning, refusals with their positions, and a schema that agrees.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{AtCap, Counts};
use plaudit_domain::catalogue::{Catalogue, CatalogueTask, Status, TaskVersion};
use plaudit_task_file::{SCHEMA, diff, parse, parse_located, to_yaml};
use serde_json::{Value, json};

/// A file with one budget and one line that names it, with some of their fields changed or, if null, left out.
fn file_with(budget: &Value, line: &Value) -> Value {
    let with = |mut fields: Value, changes: &Value| {
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(fields.as_object_mut().unwrap().remove(name)),
                value => fields[name] = value.clone(),
            }
        }
        fields
    };
    let budget = with(json!({ "id": "gold", "limit": 10, "every": "day" }), budget);
    let badge = json!({ "line": "badge", "kind": "item", "code": "gold", "amount": 1, "budget": "gold",
                        "at_cap": "refuse" });
    let task = json!({ "id": "a", "kind": "ordinary", "objective": { "on": "x", "target": 1 },
                       "rewards": [with(badge, line)] });
    json!({ "budgets": [budget], "tasks": [task] })
}

fn schema_accepts(file: &Value) -> bool {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::validator_for(&schema).unwrap().is_valid(file)
}

#[test]
fn a_budget_is_declared_once_and_kept_with_each_line_that_names_it() {
    let changes = json!({ "counts": "grants", "zone": "Asia/Tokyo", "day_starts_at": "05:00" });
    let other = json!({ "substitute": { "kind": "currency", "code": "coin", "amount": 5 } });
    let file = file_with(&changes, &json!({ "at_cap": other }));
    assert!(schema_accepts(&file), "{file}");
    let task = parse(&file.to_string()).unwrap().remove(0);
    let used = task.budgets().next().unwrap();
    assert_eq!((used.budget.id.as_str(), used.budget.limit), ("gold", 10));
    assert_eq!((used.budget.counts, used.budget.every), (Counts::Grants, Cadence::Day));
    assert_eq!(used.budget.zone, "Asia/Tokyo");
    let AtCap::Substitute(pays) = &used.at_cap else { panic!("{used:?}") };
    assert_eq!((pays.code.as_str(), pays.amount), ("coin", 5));
    let exported = to_yaml(std::slice::from_ref(&task));
    assert_eq!(parse(&exported), Ok(vec![task]), "{exported}");
}

#[test]
fn what_contradicts_itself_is_refused_at_its_place() {
    let none = json!({});
    // The path, a part of the message, whether the schema can know, and the file.
    #[rustfmt::skip]
    let rules = [
        ("budgets[0].limit", "missing", true, file_with(&json!({ "limit": null }), &none)),
        ("budgets[0].limit", "must be 0 to", true, file_with(&json!({ "limit": -1 }), &none)),
        ("budgets[0].id", "id of a budget", true, file_with(&json!({ "id": "Gold" }), &json!({ "budget": null, "at_cap": null }))),
        ("budgets[0].zone", "all users share", true, file_with(&json!({ "zone": "user" }), &none)),
        ("budgets[0].zone", "did you mean Europe/Paris", false, file_with(&json!({ "zone": "Europe/Pariss" }), &none)),
        ("budgets[0].zone", "without `every`", true, file_with(&json!({ "every": null, "zone": "Europe/Paris" }), &none)),
        ("budgets[0].day_starts_at", "no meaning with", true, file_with(&json!({ "every": { "cron": "0 5 * * *" }, "day_starts_at": "05:00" }), &none)),
        ("budgets[0].counts", "grants", true, file_with(&json!({ "counts": "users" }), &none)),
        ("tasks[0].rewards[0].budget", "did you mean gold", false, file_with(&none, &json!({ "budget": "godl" }))),
        ("tasks[0].rewards[0].at_cap", "missing: wait, refuse", true, file_with(&none, &json!({ "at_cap": null }))),
        ("tasks[0].rewards[0].at_cap", "without `budget`", true, file_with(&none, &json!({ "budget": null }))),
        ("tasks[0].rewards[0].at_cap", "refuse", true, file_with(&none, &json!({ "at_cap": "drop" }))),
        ("tasks[0].rewards[0].at_cap.substitute.amount", "missing", true, file_with(&none, &json!({ "at_cap": { "substitute": { "kind": "a", "code": "b" } } }))),
    ];
    for (path, message, schema_can_know, file) in rules {
        let errors = parse(&file.to_string()).expect_err(path);
        let found = errors.iter().any(|e| e.path == path && e.message.contains(message));
        assert!(found, "{path}: {message} is not in {errors:#?}");
        assert_eq!(!schema_accepts(&file), schema_can_know, "{file}");
    }
}

#[test]
fn an_id_is_declared_once() {
    let mut file = file_with(&json!({}), &json!({}));
    let again = file["budgets"][0].clone();
    file["budgets"].as_array_mut().unwrap().push(again);
    let errors = parse(&file.to_string()).unwrap_err();
    assert_eq!(errors[0].path, "budgets[1].id");
    assert!(errors[0].message.contains("already"), "{errors:?}");
}

#[test]
fn choices_have_budgets_of_their_own() {
    let choice = |budget: Value| {
        let mut choice = json!({ "weight": 1, "kind": "item", "code": "gold", "amount": 1 });
        choice.as_object_mut().unwrap().extend(budget.as_object().unwrap().clone());
        choice
    };
    let budgeted = json!({ "budget": "gold", "at_cap": "wait" });
    let line = |choices: Value, at_cap: Value| json!({ "kind": null, "code": null, "amount": null, "budget": null, "at_cap": at_cap, "one_of": choices });
    let mut other = choice(json!({}));
    other["code"] = json!("silver");
    let rolled = line(json!([choice(budgeted.clone()), other]), Value::Null);
    let file = file_with(&json!({}), &rolled);
    assert!(schema_accepts(&file), "{file}");
    assert_eq!(parse(&file.to_string()).unwrap()[0].budgets().count(), 1);

    let beside = file_with(&json!({}), &line(json!([choice(budgeted.clone())]), json!("wait")));
    let errors = parse(&beside.to_string()).unwrap_err();
    assert!(errors[0].message.contains("in each choice"), "{errors:?}");
    let twins = line(json!([choice(budgeted), choice(json!({}))]), Value::Null);
    let errors = parse(&file_with(&json!({}), &twins).to_string()).unwrap_err();
    assert!(errors[0].message.contains("must name the same budget"), "{errors:?}");
}

#[test]
fn a_reward_above_its_limit_and_a_budget_that_no_line_names_get_warnings() {
    let warnings = |file: Value| -> Vec<String> {
        let file = parse_located(&file.to_string()).unwrap();
        let of_tasks =
            file.tasks.iter().flat_map(|task| task.warnings(Timestamp::UNIX_EPOCH, None));
        file.warnings.into_iter().chain(of_tasks).map(|warning| warning.message).collect()
    };
    let large = file_with(&json!({ "limit": 5 }), &json!({ "amount": 6 }));
    assert!(warnings(large)[0].contains("never granted"));
    let unnamed = file_with(&json!({}), &json!({ "budget": null, "at_cap": null }));
    assert!(warnings(unnamed)[0].contains("no reward line"));
    assert_eq!(warnings(file_with(&json!({}), &json!({}))), Vec::<String>::new());
}

#[test]
fn a_raised_limit_is_a_difference() {
    let [before, after] = [10, 20].map(|limit| {
        let file = file_with(&json!({ "limit": limit }), &json!({}));
        parse(&file.to_string()).unwrap().remove(0)
    });
    let changes = diff(&before, &after);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0].path, "budgets.gold.limit");
    assert_eq!((&changes[0].before, &changes[0].after), (&Some(json!(10)), &Some(json!(20))));
}

/// A file whose budget caps one line of `a`; the rest is up to the test.
fn capped_beside(rest: &str) -> String {
    format!(
        "budgets: [ {{ id: gold, limit: 5 }} ]
tasks:
- id: a
  kind: ordinary
  objective: {{ on: x, target: 1 }}
  rewards: [ {{ line: l, kind: item, code: badge, amount: 1, budget: gold, at_cap: wait }} ]
{rest}"
    )
}

/// The warnings of the tasks of a file, beside the tasks of another one that are in force.
fn warnings(file: &str, in_force: &str) -> Vec<String> {
    let at = Timestamp::UNIX_EPOCH;
    let task = |definition| {
        let version = TaskVersion::new(definition, 1, at).unwrap();
        CatalogueTask {
            id: version.definition.id.clone(),
            status: Status::Active,
            status_since: at,
            versions: vec![Arc::new(version)],
            amnesties: vec![],
        }
    };
    let in_force = if in_force.is_empty() { vec![] } else { parse(in_force).unwrap() };
    let in_force = in_force.into_iter().map(task).collect();
    let catalogue = Catalogue::new(1, in_force).unwrap();
    let tasks = parse_located(file).unwrap().tasks;
    let found = tasks.iter().flat_map(|task| task.warnings(at, Some(&catalogue)));
    found.map(|w| format!("{}: {}", w.path, w.message)).collect()
}

#[test]
fn a_reward_that_a_budget_caps_elsewhere_gets_a_warning_where_it_names_none() {
    let file = capped_beside(
        "- id: b
  kind: ordinary
  objective: { on: x }
  milestones:
  - { at: 1, rewards: [ { line: l, kind: item, code: badge, amount: 1 } ] }
  - { at: 2, rewards: [ { line: l, one_of: [ { weight: 1, kind: item, code: other, amount: 1 },
                                             { weight: 1, kind: item, code: badge, amount: 1 } ] } ] }
  - at: 9
    rewards:
    - { line: l, kind: item, code: other, amount: 1, budget: gold,
        at_cap: { substitute: { kind: item, code: badge, amount: 1 } } }
",
    );
    let message = "grants item/badge from no budget, while gold caps it elsewhere";
    // The code `other` is capped by the last line as well.
    let other = "grants item/other from no budget, while gold caps it elsewhere";
    let expected = [
        format!("tasks[1].milestones[0].rewards[0]: {message}"),
        format!("tasks[1].milestones[1].rewards[0].one_of[0]: {other}"),
        format!("tasks[1].milestones[1].rewards[0].one_of[1]: {message}"),
        format!("tasks[1].milestones[2].rewards[0].at_cap.substitute: {message}"),
    ];
    assert_eq!(warnings(&file, ""), expected);
    // The same warnings once, although the tasks in force say the same.
    assert_eq!(warnings(&file, &file), expected);
}

#[test]
fn a_budget_is_compared_with_the_tasks_in_force_that_its_file_does_not_replace() {
    let uncapped = "- { id: b, kind: ordinary, objective: { on: x, target: 1 },
    rewards: [ { line: l, kind: item, code: badge, amount: 1 } ] }
";
    let capped = uncapped.replace("amount: 1", "amount: 1, budget: gold, at_cap: wait");
    let (old, only_b) = (capped_beside(uncapped), format!("tasks:\n{uncapped}"));
    assert_eq!(
        warnings(&capped_beside(""), &only_b),
        [
            "tasks[0].rewards[0].budget: gold does not count item/badge of task b, which names no budget"
        ]
    );
    assert_eq!(
        warnings(&only_b, &capped_beside("")),
        ["tasks[0].rewards[0]: grants item/badge from no budget, while gold caps it elsewhere"]
    );
    assert_eq!(warnings(&capped_beside(&capped), &old), Vec::<String>::new());
}
