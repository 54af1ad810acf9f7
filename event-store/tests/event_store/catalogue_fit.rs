//! What only shows beside the tasks that are published: each reason has its place.

use plaudit_domain::catalogue::Catalogue;
use plaudit_event_store::catalogue_store::check_fit;

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
