//! Warnings that depend on the catalogue.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::action::RecentFields;
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
    warnings_beside(task, beside, &RecentFields::default())
}

fn warnings_beside(task: &LocatedTask, beside: &Catalogue, recent: &RecentFields) -> Vec<String> {
    let found = task.warnings_beside(Timestamp::UNIX_EPOCH, beside, recent);
    let found = found.into_iter();
    found
        .map(|w| format!("{}:{}: {}: {}", w.line, w.column, task.path_below(&w), w.message))
        .collect()
}

#[test]
fn a_lowered_reward_gets_a_warning() {
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

/// The warnings of a task that pays this reward line for five actions, beside a version in force
/// that pays another.
fn warnings_of_line(before: &str, now: &str) -> Vec<String> {
    let file = |line: &str| {
        format!(
            "tasks:
- {{ id: a, kind: ordinary, objective: {{ on: x, target: 5 }}, rewards: [ {{ line: l, {line} }} ] }}
"
        )
    };
    let now = parse_located(&file(now)).unwrap();
    let found = warnings(&now.tasks[0], &in_force(&file(before), &[Status::Active]));
    found
        .into_iter()
        .map(|warning| warning.splitn(4, ": ").skip(1).collect::<Vec<_>>().join(": "))
        .collect()
}

#[test]
fn a_rolled_reward_is_compared_by_its_maximum_and_its_mean() {
    let coins = |amount: i64| format!("kind: currency, code: coin, amount: {amount}");
    let rolled = |choices: &[(i64, String)]| {
        let choices =
            choices.iter().map(|(weight, pays)| format!("{{ weight: {weight}, {pays} }}"));
        format!("one_of: [ {} ]", choices.collect::<Vec<_>>().join(", "))
    };
    let badge = "kind: item, code: badge, amount: 1".to_owned();
    let before = rolled(&[(9, coins(100)), (1, badge.clone())]);
    let nothing = Vec::<String>::new();
    for (before, now, expected) in [
        (
            &before,
            rolled(&[(9, coins(80)), (1, badge.clone())]),
            vec![
                "rewards[0].one_of: gives at most 80 of currency coin, less than the 100 of the version in force",
            ],
        ),
        (
            &before,
            rolled(&[(1, coins(100)), (1, badge.clone())]),
            vec![
                "rewards[0].one_of: gives 50 of currency coin on average, less than the 90 of the version in force",
            ],
        ),
        (
            &before,
            rolled(&[(19, coins(100)), (1, badge.clone())]),
            vec![
                "rewards[0].one_of: gives 0.05 of item badge on average, less than the 0.1 of the version in force",
            ],
        ),
        (&before, coins(100), vec!["rewards[0].amount: no longer gives item badge"]),
        (
            &coins(100),
            before.clone(),
            vec![
                "rewards[0].one_of: gives 90 of currency coin on average, less than the 100 of the version in force",
            ],
        ),
        // Equal or more, or something else altogether.
        (&before, rolled(&[(18, coins(100)), (2, badge.clone())]), vec![]),
        (&coins(90), rolled(&[(9, coins(100)), (1, badge.clone())]), vec![]),
        (&coins(100), badge.clone(), vec![]),
        (&before, "kind: pass, code: gold, amount: 1".to_owned(), vec![]),
    ] {
        let expected = if expected.is_empty() {
            nothing.clone()
        } else {
            expected.into_iter().map(str::to_owned).collect()
        };
        assert_eq!(warnings_of_line(before, &now), expected, "{before} -> {now}");
    }
}

#[test]
fn a_target_that_rises_for_the_same_rewards_gets_a_warning() {
    let coins = "rewards: [ { line: coins, kind: currency, code: coin, amount: 5 } ]";
    let short = |target: i64| {
        format!(
            "tasks:\n- {{ id: a, kind: ordinary, objective: {{ on: x, target: {target} }}, {coins} }}\n"
        )
    };
    let of = |before: &str, now: &str| {
        warnings(&parse_located(now).unwrap().tasks[0], &in_force(before, &[Status::Active]))
    };
    let harder = "is higher than the 5 of the version in force: its rewards are harder to reach";
    assert_eq!(of(&short(5), &short(6)), [format!("2:56: objective.target: {harder}")]);
    assert_eq!(of(&short(5), &short(4)), Vec::<String>::new());
    let long = |ats: [i64; 2]| {
        let [first, second] = ats;
        format!(
            "tasks:
- id: a
  kind: ordinary
  objective: {{ on: x }}
  milestones:
  - {{ at: {first}, {coins} }}
  - {{ at: {second}, rewards: [ {{ line: chest, kind: item, code: chest, amount: 1 }} ] }}
"
        )
    };
    assert_eq!(of(&long([3, 5]), &long([3, 9])), [format!("7:11: milestones[1].at: {harder}")]);
    let streak = |target: i64| {
        format!(
            "tasks:
- id: a
  kind: continuous
  every: day
  objective: {{ on: x, target: {target} }}
  streak: {{}}
  milestones: [ {{ at: 1, {coins} }} ]
"
        )
    };
    assert_eq!(of(&streak(5), &streak(6)), [format!("5:31: objective.target: {harder}")]);
}

/// Fields of recent actions: pairs of a type and a name, or nothing for the type itself.
fn seen(noted: &[(&str, &str)]) -> RecentFields {
    let noted = noted.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned()));
    RecentFields::new("2026-10-27".parse().unwrap(), noted)
}

#[test]
fn a_field_that_no_recent_action_had_gets_a_warning() {
    let file = parse_located(
        "tasks:
- id: a
  kind: ordinary
  objective:
    on: [ gift.sent, gift.received ]
    target: 5
    where: has(data.coin) && data.coin > 1 && has(data.room) && has(data.room.idd) && has(data.coins)
    measure: { sum: data.amont }
",
    );
    let file = file.unwrap();
    let of = |recent: &RecentFields| warnings_beside(&file.tasks[0], &Catalogue::default(), recent);
    assert_eq!(of(&RecentFields::default()), Vec::<String>::new(), "nothing is known");
    let gifts = [
        ("gift.sent", ""),
        ("gift.sent", "coins"),
        ("gift.sent", "room"),
        ("gift.sent", "room.id"),
        ("gift.received", "amount"),
    ];
    assert_eq!(
        of(&seen(&gifts)),
        [
            "7:12: objective.where: no action of type gift.sent or gift.received had data.coin since \
             2026-10-27 (did you mean data.coins?)",
            "7:12: objective.where: no action of type gift.sent or gift.received had data.room.idd since \
             2026-10-27 (did you mean data.room.id?)",
            "8:14: objective.measure: no action of type gift.sent or gift.received had data.amont since \
             2026-10-27 (did you mean data.amount?)",
        ]
    );
    assert_eq!(
        of(&seen(&[
            ("gift.sends", "x"),
            ("gift.received", "coin"),
            ("gift.received", "amont"),
            ("gift.received", "room"),
            ("gift.received", "room.idd"),
            ("gift.received", "coins")
        ])),
        [
            "5:11: objective.on[0]: no action of type gift.sent was seen since 2026-10-27 (did you mean gift.sends?)"
        ]
    );
    let many: Vec<String> = (0..RecentFields::NAMES_MAX).map(|n| format!("n{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| ("gift.sent", name.as_str())).collect();
    assert_eq!(of(&seen(&[&many[..], &[("gift.received", "x")]].concat())), Vec::<String>::new());
}

#[test]
fn a_window_shorter_than_a_period_or_a_streak_gets_a_warning() {
    let of = |fields: &str| {
        let file = format!("tasks:\n- {{ id: a, objective: {{ on: x, target: 1 }}, {fields} }}\n");
        warnings(&parse_located(&file).unwrap().tasks[0], &Catalogue::default())
    };
    let window = |days: u8| {
        format!(
            "window: {{ from: 2026-03-01T00:00:00Z, until: 2026-03-{:02}T00:00:00Z }}",
            days + 1
        )
    };
    let periodic =
        |every: &str, days| of(&format!("kind: periodic, every: {every}, {}", window(days)));
    let short = periodic("week", 6);
    assert_eq!(short.len(), 1, "{short:?}");
    assert!(
        short[0].ends_with(
            "window.until: the window is open for less than a week, the length of one period"
        ),
        "{short:?}"
    );
    assert_eq!(periodic("week", 7), Vec::<String>::new());
    assert_eq!(periodic("day", 1), Vec::<String>::new());
    let streak = |at| {
        of(&format!(
            "kind: continuous, every: day, streak: {{}}, {}, milestones: [ {{ at: {at} }} ]",
            window(5)
        ))
    };
    assert_eq!(streak(6), Vec::<String>::new());
    let unreachable = streak(10);
    assert_eq!(unreachable.len(), 1, "{unreachable:?}");
    assert!(
        unreachable[0]
            .ends_with("milestones[0].at: the window touches 7 days, but the streak needs 10"),
        "{unreachable:?}"
    );
}

#[test]
fn an_attribute_that_is_not_asked_for_first_gets_a_warning() {
    let file = parse_located(
        "tasks:
- id: a
  kind: ordinary
  objective: { on: x, target: 1, where: user.vip > 1 && user.zone != 'UTC' }
  audience: { where: user.level > 1 && user.id != 'a' }
- id: b
  kind: ordinary
  objective: { on: x, target: 1, where: has(user.vip) && user.vip > 1 }
  audience: { where: has(user.level) && user.level > 1 }
",
    );
    let file = file.unwrap();
    let of = |index: usize| warnings(&file.tasks[index], &Catalogue::default());
    assert_eq!(
        of(0),
        [
            "4:41: objective.where: reads user.vip without `has(user.vip) && …`: an action of a user \
             without the attribute does not count",
            "5:22: audience.where: reads user.level without `has(user.level) && …`: a user without the \
             attribute is outside of the audience",
        ]
    );
    assert_eq!(of(1), Vec::<String>::new());
}

#[test]
fn a_dependency_that_nobody_completes_any_more_gets_a_warning() {
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
fn an_audience_that_changes_gets_a_warning_unless_it_becomes_everybody() {
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
    assert_eq!((narrowed[0].line, narrowed[0].column), (5, 13));
    assert!(narrowed[0].message.contains("what they earned stays claimable"), "{narrowed:?}");
}

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
