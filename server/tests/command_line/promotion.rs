//! Promotion of tasks from one installation to another: export, plan, publish.

use sqlx::Connection as _;

use crate::place::{Place, status_of, token};
use crate::program::{eventually, migrated, plaudit, scratch, text};

/// An installation with a database of its own, by its address.
struct Installation(String);

impl Installation {
    async fn new() -> Self {
        Self(migrated().await)
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &self.0)])
    }

    #[track_caller]
    fn said(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    }
}

#[tokio::test]
async fn an_export_says_what_is_different_where_it_is_published() {
    let (here, there) = (Installation::new().await, Installation::new().await);
    let file = scratch(
        "promoted.yaml",
        "tasks:
- { id: gone, kind: ordinary, objective: { on: x, target: 1 } }
- { id: slow, kind: ordinary, objective: { on: x, target: 1 } }
- { id: next, kind: ordinary, requires: [ gone, slow ], objective: { on: x, target: 1 } }
- { id: past, kind: ordinary, objective: { on: x, target: 1 }, backfill: { from: 2026-01-01T00:00:00Z } }
",
    );
    here.said(&["tasks", "publish", file.to_str().unwrap()]);
    let paused = here.said(&["tasks", "pause", "slow"]);
    let warning = "warning: next needs slow, which can't be completed until it is resumed";
    assert_eq!(paused, format!("slow is paused\n{warning}\n"));
    let retired = here.said(&["tasks", "retire", "gone"]);
    assert_eq!(
        retired,
        "gone is retired\nwarning: next needs gone, which can't be completed any more\n"
    );
    let plan = here.said(&[
        "tasks",
        "plan",
        &scratch(
            "next.yaml",
            "tasks:
- { id: next, kind: ordinary, requires: [ gone, slow ], objective: { on: x, target: 2 } }
",
        )
        .to_string_lossy(),
    ]);
    for warned in ["requires[0]: gone is retired", "requires[1]: slow is paused"] {
        assert!(plan.lines().any(|l| l.starts_with("warning: ") && l.contains(warned)), "{plan}");
    }

    let exported = here.run(&["tasks", "export"]);
    let remarks = [
        "next needs gone, which is retired here and not in this file: the file is refused where gone was never published",
        "past counts past actions since 2026-01-01T00:00:00Z; where it is new, it counts those of that installation, and is refused if that is more than 100 periods ago",
        "slow is paused here; where it is new, it is active: pause it there too",
    ];
    assert_eq!(text(&exported.stderr).lines().collect::<Vec<_>>(), remarks);
    let catalogue = text(&exported.stdout);
    for remark in remarks {
        assert!(catalogue.contains(&format!("# {remark}\n")), "{catalogue}");
    }
    let file = scratch("promoted-2.yaml", &catalogue);
    let file = file.to_str().unwrap();
    assert!(here.said(&["tasks", "publish", file]).contains("unchanged  next  version 1"));
    let refused = there.run(&["tasks", "publish", file]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("`requires` names gone"), "{}", text(&refused.stderr));
    let first = scratch(
        "first.yaml",
        "tasks:\n- { id: gone, kind: ordinary, objective: { on: x, target: 1 } }\n",
    );
    there.said(&["tasks", "publish", first.to_str().unwrap()]);
    assert!(there.said(&["tasks", "publish", file]).contains("published  next  version 1"));
}

#[tokio::test]
async fn a_large_catalogue_fits_into_the_file_that_is_exported() {
    let (here, there) = (Installation::new().await, Installation::new().await);
    let part = |from: u32| {
        let task = |n: u32| {
            let description = "x".repeat(9_000);
            format!(
                "- {{ id: t{n}, kind: ordinary, text: {{ en: {{ title: T, description: {description} }} }}, objective: {{ on: x{n}, target: 1 }} }}\n"
            )
        };
        let tasks: String = (from..from + 80).map(task).collect();
        scratch(&format!("part-{from}.yaml"), &format!("tasks:\n{tasks}"))
            .to_string_lossy()
            .into_owned()
    };
    let (first, second) = (part(0), part(80));
    here.said(&["tasks", "publish", &first, &second]);
    let exported = here.said(&["tasks", "export"]);
    assert!(exported.len() > 1_400_000);
    let file = scratch("large.yaml", &exported);
    let published = there.said(&["tasks", "publish", file.to_str().unwrap()]);
    assert_eq!(published.lines().filter(|line| line.starts_with("published")).count(), 160);
}

#[tokio::test]
async fn a_task_with_more_versions_than_an_answer_holds_is_known_whole_over_http() {
    let place = Place::prepare().await;
    let file = scratch(
        "many.yaml",
        "tasks: [ { id: many, kind: ordinary, objective: { on: x, target: 1 } } ]",
    );
    assert_eq!(place.run(&["tasks", "publish", file.to_str().unwrap()]).0, Some(0));
    let mut database = sqlx::PgConnection::connect(&place.database).await.unwrap();
    for sql in [
        "insert into task_versions (task_id, version, definition, published_by)
         select task_id, n, jsonb_set(definition::jsonb, '{order}', to_jsonb(n))::json, 'test'
         from task_versions, generate_series(2, 1002) n",
        "update catalogue set revision = revision + 1, identity = gen_random_uuid()",
    ] {
        sqlx::query(sql).execute(&mut database).await.unwrap();
    }
    let (_server, url) = place.serve(&["--roles", "api"]).await;
    eventually("readiness", async || {
        (status_of(&format!("{url}/readyz")).await == 200).then_some(())
    })
    .await;
    let operator = token(&["operator"]);
    let far = |arguments: &[&str]| {
        let all = [arguments, &["--url", &url, "--token", &operator]].concat();
        let done = plaudit(&all, &[]);
        assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    };
    let shown = far(&["tasks", "show", "many"]);
    assert!(shown.contains("\"order\": 1002"), "{shown}");
    let difference = far(&["tasks", "diff", "many", "999", "1002"]);
    assert!(difference.contains("999 -> 1002"), "{difference}");
    let exported = far(&["tasks", "export"]);
    assert!(exported.contains("order: 1002"), "{exported}");
    let back = far(&["tasks", "rollback", "many", "--to", "1001"]);
    assert!(back.contains("version 1003"), "{back}");
}
