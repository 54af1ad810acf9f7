//! Warnings of windows, versions and composites that do not mean what they seem to.

use jiff::Timestamp;
use plaudit_domain::catalogue::{Catalogue, Status};
use plaudit_task_file::parse_located;

use crate::warnings::{in_force, warnings};

#[test]
fn a_longer_window_that_users_who_began_do_not_get_gets_a_warning() {
    let file = |until: &str, rest: &str| {
        format!(
            "tasks: [{{id: a, kind: ordinary, objective: {{on: x, target: 1}}, window: {{until: {until}}}{rest}}}]"
        )
    };
    let catalogue = in_force(&file("2026-02-01T00:00:00Z", ""), &[Status::Active]);
    let found = |until: &str, rest: &str| {
        let read = parse_located(&file(until, rest)).unwrap();
        warnings(&read.tasks[0], &catalogue)
    };
    let kept = found("2026-03-01T00:00:00Z", "");
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(kept[0].contains("window.until: is later than in the version in force"), "{kept:?}");
    for (until, rest) in [
        ("2026-03-01T00:00:00Z", ", on_new_version: adopt"),
        ("2026-03-01T00:00:00Z", ", on_new_version: adopt_if_easier"),
        ("2026-02-01T00:00:00Z", ""),
        ("2026-01-15T00:00:00Z", ""),
    ] {
        assert_eq!(found(until, rest), Vec::<String>::new(), "{until}{rest}");
    }
}

#[test]
fn a_version_that_only_seems_easier_gets_a_warning() {
    let file = |objective: &str, mode: &str| {
        format!(
            "tasks: [{{id: a, kind: periodic, every: day, objective: {{on: x, {objective}}}, on_new_version: {mode}}}]"
        )
    };
    let before = "target: 5, cap: {per_action: 10}";
    let catalogue = in_force(&file(before, "keep"), &[Status::Active]);
    let found = |objective: &str, mode: &str| {
        let read = parse_located(&file(objective, mode)).unwrap();
        let found = read.tasks[0].warnings(Timestamp::UNIX_EPOCH, Some(&catalogue));
        found.into_iter().filter(|w| w.message.contains("compares targets only")).count()
    };
    for (objective, mode, expected) in [
        (before, "adopt_if_easier", 0),
        ("target: 4, cap: {per_action: 10}", "adopt_if_easier", 0),
        ("target: 4, cap: {per_action: 9}", "adopt_if_easier", 1),
        ("target: 4, cap: {per_action: 10}, where: data.a > 1", "adopt_if_easier", 1),
        ("target: 4, measure: days", "adopt_if_easier", 1),
        // Not adopted, or adopted whatever it says.
        ("target: 6, cap: {per_action: 9}", "adopt_if_easier", 0),
        ("target: 4, cap: {per_action: 9}", "adopt", 0),
    ] {
        assert_eq!(found(objective, mode), expected, "{objective} {mode}");
    }
}

#[test]
fn a_composite_with_other_periods_than_the_tasks_it_counts_gets_a_warning() {
    let file = parse_located(
        "tasks:
- { id: ever, kind: ordinary, objective: { on: x, target: 1 } }
- { id: daily, kind: periodic, every: day, zone: user, objective: { on: x, target: 1 } }
- { id: weekly, kind: periodic, every: week, objective: { on: x, target: 1 } }
- id: all
  kind: periodic
  every: day
  zone: user
  objective: { completions_of: [ ever, daily, weekly, published ], target: 2 }
",
    )
    .unwrap();
    let published = "tasks: [{id: published, kind: periodic, every: day, zone: user, day_starts_at: '05:00', objective: {on: x, target: 1}}]";
    let catalogue = in_force(published, &[Status::Active]);
    let drafts: Vec<_> = file.tasks.iter().map(|task| &task.definition).collect();
    let found = |catalogue| -> Vec<String> {
        let found = file.tasks[3].warnings_of_counted(&drafts, catalogue);
        let of = |message: &str| message.split(", so").next().unwrap().to_owned();
        found.iter().map(|w| format!("{}: {}", w.path, of(&w.message))).collect()
    };
    let weekly = "tasks[3].objective.completions_of[2]: weekly has another `every` and `zone`";
    assert_eq!(found(None), [weekly]);
    let other = "tasks[3].objective.completions_of[3]: published has another `day_starts_at`";
    assert_eq!(found(Some(&catalogue)), [weekly, other]);
}

#[test]
fn an_end_of_the_period_that_never_comes_gets_a_warning() {
    let found = |window: &str| {
        let file = format!(
            "tasks: [{{id: a, kind: ordinary, objective: {{on: x, target: 1}}, claim: {{at_period_end: grant}}{window}}}]"
        );
        warnings(&parse_located(&file).unwrap().tasks[0], &Catalogue::default())
    };
    assert_eq!(found(", window: {until: 2026-02-01T00:00:00Z}"), Vec::<String>::new());
    let endless = found("");
    assert!(endless[0].contains("claim.at_period_end: has no effect"), "{endless:?}");
}
