//! Warnings that depend on the catalogue.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::catalogue::{Catalogue, CatalogueTask, Status, TaskVersion};
use plaudit_task_file::{LocatedTask, parse, parse_located};

/// The catalogue in force: tasks with their status.
fn in_force(file: &str, statuses: &[Status]) -> Catalogue {
    let at = Timestamp::UNIX_EPOCH;
    let task = |(definition, status): (_, &Status)| {
        let version = TaskVersion::new(definition, 1, at).unwrap();
        CatalogueTask {
            id: version.definition.id.clone(),
            status: *status,
            status_since: at,
            versions: vec![Arc::new(version)],
            amnesties: vec![],
        }
    };
    Catalogue::new(1, parse(file).unwrap().into_iter().zip(statuses).map(task).collect()).unwrap()
}

fn warnings(task: &LocatedTask, beside: &Catalogue) -> Vec<String> {
    let found = task.warnings(Timestamp::UNIX_EPOCH, Some(beside));
    let found = found.into_iter();
    found
        .map(|w| format!("{}:{}: {}: {}", w.line, w.column, task.path_below(&w), w.message))
        .collect()
}

#[test]
fn a_lowered_reward_is_suspicious() {
    let file = |amount: u32, milestones: &str| {
        format!(
            "tasks:
- id: a
  kind: ordinary
  objective: {{ on: x }}
  milestones:
  - {{ at: 1, rewards: [ {{ line: coins, kind: currency, code: coin, amount: {amount} }} ] }}
{milestones}"
        )
    };
    let chest = "  - { at: 5, rewards: [ { line: chest, kind: item, code: chest, amount: 1 } ] }\n";
    let catalogue = in_force(&file(100, chest), &[Status::Active]);
    let lowered = parse_located(&file(90, "  - { at: 6 }\n")).unwrap();
    assert_eq!(
        warnings(&lowered.tasks[0], &catalogue),
        [
            "6:5: milestones: the milestone at 5 and its rewards are gone",
            "6:76: milestones[0].rewards[0].amount: is lower than the 100 of the version in force",
        ]
    );
    let raised = parse_located(&file(110, chest)).unwrap();
    assert_eq!(warnings(&raised.tasks[0], &catalogue), Vec::<String>::new());
}

#[test]
fn what_nobody_completes_any_more_is_suspicious_as_a_dependency() {
    let tasks = "tasks:
- { id: active, kind: ordinary, objective: { on: x, target: 1 } }
- { id: paused, kind: ordinary, objective: { on: x, target: 1 } }
- { id: retired, kind: ordinary, objective: { on: x, target: 1 } }
";
    let catalogue = in_force(tasks, &[Status::Active, Status::Paused, Status::Retired]);
    let new = parse_located(
        "tasks:
- id: new
  kind: ordinary
  requires: [ active, retired ]
  objective: { completions_of: [ paused, active, retired ], target: 2 }
",
    );
    assert_eq!(
        warnings(&new.unwrap().tasks[0], &catalogue),
        [
            "4:23: requires[1]: retired is retired: users who have not completed it can never unlock this task",
            "5:34: objective.completions_of[0]: paused is paused: it does not count until it is resumed",
            "5:50: objective.completions_of[2]: retired is retired: it never counts again",
        ]
    );
}

#[test]
fn the_warnings_of_a_file_are_those_of_its_tasks_and_what_is_beside_them() {
    let file = parse_located(
        "budgets: [ { id: gold, limit: 5 } ]
tasks:
- { id: a, kind: ordinary, objective: { on: x, target: 1, where: data.a > 1 } }
- { id: b, kind: ordinary, objective: { on: x, target: 1, where: data.b > 1 } }
",
    );
    let file = file.unwrap();
    assert_eq!(file.warnings.len(), 1, "{:?}", file.warnings);
    assert!(file.warnings[0].message.contains("no reward line"), "{:?}", file.warnings);
    let nothing = Catalogue::default();
    for (task, field) in file.tasks.iter().zip(["data.a", "data.b"]) {
        let found = warnings(task, &nothing);
        assert_eq!(found.len(), 1, "{found:?}");
        let expected = format!(": objective.where: reads {field} without");
        assert!(found[0].contains(&expected), "{found:?}");
    }
}

#[test]
fn an_audience_that_changes_is_suspicious_unless_it_becomes_everybody() {
    let file = |audience: &str| {
        format!(
            "tasks:\n- id: a\n  kind: ordinary\n  objective: {{ on: x, target: 1 }}\n{audience}"
        )
    };
    let vips = "  audience: { where: user.vip >= 2 }\n";
    let catalogue = in_force(&file(vips), &[Status::Active]);
    let found = |audience: &str| {
        let read = parse_located(&file(audience)).unwrap();
        let found = read.tasks[0].warnings(Timestamp::UNIX_EPOCH, Some(&catalogue));
        found.into_iter().filter(|w| w.path.ends_with("audience")).collect::<Vec<_>>()
    };
    assert_eq!((found(vips).len(), found("").len()), (0, 0));
    let narrowed = found("  audience: { where: user.vip >= 3 }\n");
    assert_eq!((narrowed[0].line, narrowed[0].column), (5, 3));
    assert!(narrowed[0].message.contains("what they earned stays claimable"), "{narrowed:?}");
}
