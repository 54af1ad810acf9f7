//! `plaudit tasks`.

use sqlx::Connection as _;

use crate::program::{migrated, plaudit, sample_tasks, scratch, text};

/// The file is refused as a whole, with every error named by file, line and path.
#[test]
fn rule_11_a_file_with_ten_errors_has_all_ten_named() {
    let file = scratch(
        "ten.yaml",
        "tasks:
  - id: Bad Id
    kind: ordinary
    objective: { on: a, target: 0 }
  - id: second
    kind: sometimes
    objective: { on: a, target: 1 }
  - id: third
    kind: periodic
    every: fortnight
    zone: Europe/Nowhere
    objective: { on: a, where: 'data.x >=', target: 1.5 }
    rewards: [ { line: l, kind: k, code: c, amount: -1 } ]
  - id: fourth
    kind: ordinary
    colour: red
    window: { from: yesterday }
    objective: { on: a, target: 1, lateness: P1M }
",
    );
    let refused = plaudit(&["tasks", "validate", file.to_str().unwrap()], &[]);
    assert_eq!(refused.status.code(), Some(1));
    let errors = text(&refused.stderr);
    let named: Vec<&str> =
        errors.lines().filter(|line| line.starts_with(file.to_str().unwrap())).collect();
    let place = |line: &&str| {
        let mut place = line[file.to_str().unwrap().len()..].splitn(5, ':').skip(1);
        let mut next = || place.next().unwrap_or_default().trim().to_owned();
        let (line, column, path, message) = (next(), next(), next(), next());
        assert!(column.parse::<u32>().is_ok_and(|column| column > 1), "{path}: {column}");
        assert!(!message.is_empty(), "{path}");
        (line.parse::<u32>().unwrap(), path)
    };
    let found: Vec<_> = named.iter().map(place).collect();
    let expected = [
        (2, "tasks[0].id"),
        (4, "tasks[0].objective.target"),
        (6, "tasks[1].kind"),
        (10, "tasks[2].every"),
        (11, "tasks[2].zone"),
        (12, "tasks[2].objective.where"),
        (12, "tasks[2].objective.target"),
        (13, "tasks[2].rewards[0].amount"),
        (16, "tasks[3].colour"),
        (17, "tasks[3].window.from"),
        (18, "tasks[3].objective.lateness"),
    ];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())), "{errors}");
    assert!(errors.ends_with("11 errors; nothing was changed\n"), "{errors}");
}

/// Rules 9 and 10.
#[tokio::test]
async fn tasks_are_published_shown_and_retired() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let sample = sample_tasks();
    let first = text(&run(&["tasks", "publish", sample.to_str().unwrap()]).stdout);
    assert!(first.contains("published  first-team  version 1"), "{first}");
    let again = text(&run(&["tasks", "publish", sample.to_str().unwrap()]).stdout);
    assert!(again.contains("unchanged  first-team  version 1"), "{again}");
    assert!(text(&run(&["tasks", "list"]).stdout).contains("6 tasks"));
    assert!(text(&run(&["tasks", "show", "first-team"]).stdout).contains("\"kind\": \"ordinary\""));
    assert!(run(&["tasks", "retire", "first-team"]).status.success());
    let reused = run(&["tasks", "publish", sample.to_str().unwrap()]);
    assert!(text(&reused.stderr).contains("retired"), "{}", text(&reused.stderr));
    let unknown = run(&["tasks", "show", "nothing"]);
    assert!(text(&unknown.stderr).contains("unknown task nothing"));
}

/// Errors that only show together with other files or the catalogue have a place in a file too.
#[tokio::test]
async fn versions_are_compared_and_an_export_publishes_to_the_same() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let file = |name: &str, amount: u32| {
        let lines = format!("[ {{ line: l, kind: item, code: '{{b}}', amount: {amount} }} ]");
        scratch(
            name,
            &format!(
                "default_locale: de
tasks:
- {{ id: a, kind: ordinary, text: {{ de: {{ title: A }} }}, objective: {{ on: x, target: 1 }}, rewards: {lines} }}
- {{ id: b, kind: periodic, every: {{ cron: '0 5 * * 1' }}, text: {{ de: {{ title: 'no' }} }}, objective: {{ on: [x, 'y*'], where: '\"&\" != data.z', target: 9 }} }}
"
            ),
        )
    };
    for (name, amount) in [("export-1.yaml", 3), ("export-2.yaml", 5)] {
        let published = run(&["tasks", "publish", file(name, amount).to_str().unwrap()]);
        assert!(published.status.success(), "{}", text(&published.stderr));
    }
    let diff = text(&run(&["tasks", "diff", "a", "1", "2"]).stdout);
    let expected = "milestones[at: 1].rewards[line: l].amount: 3 -> 5\n1 difference\n";
    assert_eq!(diff, expected);
    let json = text(&run(&["tasks", "diff", "a", "2", "1", "--format", "json"]).stdout);
    assert!(json.contains("\"before\":5") && json.contains("\"after\":3"), "{json}");
    let missing = run(&["tasks", "diff", "a", "1", "3"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("no version 3, only 1 to 2"));

    let export = text(&run(&["tasks", "export"]).stdout);
    let again = scratch("export-3.yaml", &export);
    let published = text(&run(&["tasks", "publish", again.to_str().unwrap()]).stdout);
    let (lines, warning) = published.split_at(published.find("warning: ").unwrap());
    assert_eq!(lines, "unchanged  a  version 2\nunchanged  b  version 1\n", "{export}");
    assert!(warning.contains("objective.where: reads data.z without"), "{warning}");
    let one = text(&run(&["tasks", "export", "b"]).stdout);
    assert!(one.contains("id: b") && !one.contains("id: a"), "{one}");
}

#[tokio::test]
async fn plan_and_publish_warn_of_types_and_fields_that_no_recent_action_had() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let file = scratch(
        "unseen.yaml",
        "tasks:
- id: a
  kind: ordinary
  objective: { on: [gift.sent, gift.snet], target: 1, where: has(data.coin) && data.coin > 1 }
",
    );
    let file = file.to_str().unwrap();
    let plan = text(&run(&["tasks", "plan", file]).stdout);
    assert!(!plan.contains("warning: "), "no action was seen yet: {plan}");
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    let seen = "insert into action_fields (action_type, field, first_seen_on, last_seen_on)
        select 'gift.sent', field, '2026-01-01', now() from unnest(array['', 'coins']) field";
    sqlx::query(seen).execute(&mut connection).await.unwrap();
    for verb in ["plan", "publish"] {
        let said = text(&run(&["tasks", verb, file]).stdout);
        let warnings: Vec<&str> = said.lines().filter(|l| l.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), 2, "{said}");
        assert!(
            warnings[0].contains(
                ":4:32: tasks[0].objective.on[1]: no action of type gift.snet was seen since "
            ),
            "{said}"
        );
        assert!(warnings[0].ends_with(" (did you mean gift.sent?)"), "{said}");
        assert!(
            warnings[1].contains(
                ": tasks[0].objective.where: no action of type gift.sent had data.coin since "
            ),
            "{said}"
        );
        assert!(warnings[1].ends_with(" (did you mean data.coins?)"), "{said}");
    }
    assert!(!text(&run(&["tasks", "validate", file]).stdout).contains("warning: "));
}

#[tokio::test]
async fn a_fault_found_while_publishing_has_its_place() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let task = |id: &str, kind: &str, more: &str| {
        format!("  - id: {id}\n    kind: {kind}\n{more}    objective: {{ on: a, target: 1 }}\n")
    };
    let file = |tasks: &[String]| scratch("tasks.yaml", &format!("tasks:\n{}", tasks.concat()));
    let before = file(&[task("gone", "ordinary", ""), task("stays", "ordinary", "")]);
    let before = before.to_str().unwrap();
    assert!(run(&["tasks", "publish", before]).status.success());
    assert!(run(&["tasks", "retire", "gone"]).status.success());

    let bad = file(&[
        task("gone", "ordinary", ""),
        task("stays", "periodic", "    every: day\n"),
        task("new", "ordinary", "    requires: [ stays, nowhere ]\n"),
    ]);
    let bad = bad.to_str().unwrap();
    let refused = run(&["tasks", "publish", bad]);
    assert_eq!(refused.status.code(), Some(1));
    let errors = text(&refused.stderr);
    for expected in [
        format!("{bad}:2:9: tasks[0].id: gone: the task is retired"),
        format!("{bad}:6:11: tasks[1].kind: stays: the kind of a task never changes"),
        format!("{bad}:11:24: tasks[2].requires[1]: new: `requires` names nowhere"),
        "3 errors; nothing was changed\n".to_owned(),
    ] {
        assert!(errors.contains(&expected), "{expected}\nis not in\n{errors}");
    }

    let twice = run(&["tasks", "validate", before, bad]);
    assert_eq!(twice.status.code(), Some(1));
    let errors = text(&twice.stderr);
    let expected = format!("{bad}:2:9: tasks[0].id: gone is already the id of a task in {before}");
    assert!(errors.contains(&expected), "{errors}");
    assert!(errors.ends_with("2 errors; nothing was changed\n"), "{errors}");
}

#[tokio::test]
async fn a_status_is_printed_in_the_words_of_json() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let file = scratch(
        "one.yaml",
        "tasks:\n  - { id: one, kind: ordinary, objective: { on: a, target: 1 } }\n",
    );
    assert!(run(&["tasks", "publish", file.to_str().unwrap()]).status.success());
    assert_eq!(text(&run(&["tasks", "pause", "one"]).stdout), "one is paused\n");
    let list = text(&run(&["tasks", "list"]).stdout);
    assert!(list.contains("ordinary v1 paused") && list.ends_with("\n1 task\n"), "{list}");
}

/// Rules 9 and 24.
#[tokio::test]
async fn a_change_is_planned_tried_and_taken_back() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let said = |arguments: &[&str]| {
        let done = run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    let file = |name: &str, target: u32| {
        let task = format!(
            "tasks:\n- id: one\n  kind: ordinary\n  objective: {{ on: x, where: data.n > 3, target: {target} }}\n"
        );
        scratch(name, &task).to_str().unwrap().to_owned()
    };
    let (first, second) = (file("plan-1.yaml", 2), file("plan-2.yaml", 5));
    assert!(said(&["tasks", "plan", &first]).contains("new        one  version 1"));
    said(&["tasks", "publish", &first, "--reason", "the beginning"]);
    let plan = said(&["tasks", "plan", &second]);
    assert!(plan.contains("changed    one  version 2"), "{plan}");
    assert!(plan.contains("milestones[at: 5]: (absent) -> "), "{plan}");
    said(&["tasks", "publish", &second, "--reason", "harder"]);
    let rolled = said(&["tasks", "rollback", "one", "--to", "1", "--reason", "too hard"]);
    assert_eq!(rolled, "published  one  version 3\n");
    let history = said(&["tasks", "history", "one"]);
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    assert!(lines[0].contains("published version 1  by os:"), "{history}");
    assert!(lines[2].ends_with(": too hard"), "{history}");
    let missing = run(&["tasks", "rollback", "one", "--to", "9"]);
    assert!(text(&missing.stderr).contains("no version 9, only 1 to 3"));

    let actions = scratch(
        "actions.json",
        r#"{"type": "x", "data": {"n": 4}} {"type": "x", "data": {"n": 1}}"#,
    );
    let actions = actions.to_str().unwrap();
    let tried = said(&["tasks", "simulate", &second, "--user", "u1", "--actions", actions]);
    assert!(tried.contains("\"progress\":1,\"target\":5"), "{tried}");
    assert!(
        tried.contains("one would not move: `where` is false (where: data.n > 3; data.n = 1)"),
        "{tried}"
    );
    assert!(tried.contains("2 actions tried, nothing was written"), "{tried}");
    let small = scratch("small.json", r#"{"type": "x", "data": {"n": 1}}"#);
    let why = said(&["tasks", "why", "u1", "one", "--action", small.to_str().unwrap()]);
    assert!(why.contains("the action would not move it: `where` is false"), "{why}");
    said(&["tasks", "pause", "one"]);
    let why = said(&["tasks", "why", "u1", "one"]);
    assert!(why.contains("the task is paused"), "{why}");
    assert!(said(&["audit", "verify"]).contains("0 users, 0 events: nothing was changed"));
    assert!(said(&["audit", "verify", "u1"]).starts_with("u1: 0 events, 0 of them covered"));
    let unknown = run(&["audit", "explain", "00000000-0000-0000-0000-000000000000"]);
    assert!(text(&unknown.stderr).contains("unknown grant"));
}
