//! What only shows beside the tasks that are published: each reason has its place.

use plaudit_domain::catalogue::{Catalogue, Status};
use plaudit_event_store::catalogue_store::{PublishError, check_fit, publish, set_status};

use crate::support::{Store, tasks_of};

/// The fields and reasons for which a file does not fit an empty catalogue.
fn refused(file: &str) -> Vec<(String, String)> {
    let definitions = plaudit_task_file::parse(file).unwrap();
    let unfit = check_fit(&Catalogue::default(), &definitions).expect_err("it should not fit");
    unfit.into_iter().map(|unfit| (unfit.field, unfit.reason)).collect()
}

fn tasks(count: usize, action: &str) -> String {
    let task = |n| {
        format!(
            "{{id: t{n}, kind: ordinary, text: {{en: {{title: T}}}}, objective: {{on: {action}, target: 1}}}}"
        )
    };
    format!("{{tasks: [{}]}}", (0..count).map(task).collect::<Vec<_>>().join(", "))
}

#[test]
fn a_prerequisite_that_is_nowhere_has_its_place() {
    let file = "{tasks: [{id: a, kind: ordinary, text: {en: {title: A}}, requires: [b], objective: {on: x, target: 1}}]}";
    let found = refused(file);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "requires[0]");
    assert!(found[0].1.contains("neither published nor in these files"), "{}", found[0].1);
}

#[test]
fn an_action_that_would_touch_too_many_tasks_is_refused_when_published() {
    let found = refused(&tasks(501, "gift.sent"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "objective.on");
    let reason = &found[0].1;
    assert!(reason.contains("\"gift.sent\" would touch 501 tasks, at most 500"), "{reason}");
    let definitions = plaudit_task_file::parse(&tasks(500, "gift.sent")).unwrap();
    assert!(check_fit(&Catalogue::default(), &definitions).is_ok());
}

#[tokio::test]
async fn rule_10_the_id_of_a_retired_task_is_refused() {
    let store = Store::with_tasks(&tasks(2, "gift.sent")).await;
    let retired = "t0".parse().unwrap();
    set_status(&store.pool, &retired, Status::Retired, "test").await.unwrap();
    // Neither the same task nor another one under its id, and nothing beside it either.
    for again in [tasks(3, "gift.sent"), tasks(3, "other")] {
        let refused = publish(&store.pool, &tasks_of(&again), "test").await;
        let Err(PublishError::Unfit(unfit)) = refused else { panic!("{refused:?}") };
        assert_eq!(unfit.len(), 1);
        assert!(unfit[0].reason.contains("ids are never reused"), "{}", unfit[0].reason);
    }
    let resumed = set_status(&store.pool, &retired, Status::Active, "test").await;
    assert!(matches!(resumed, Err(PublishError::Retired(_))), "{resumed:?}");
    let versions = "select count(*) from task_versions where task_id in ('t0', 't2')";
    assert_eq!(store.count(versions).await, 1, "what was published first");
}
