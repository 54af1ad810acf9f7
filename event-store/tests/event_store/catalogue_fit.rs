//! Conflicts that show only against the published tasks. Each one names its field.

use std::time::{Duration, Instant};

use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{Catalogue, Status};

use plaudit_event_store::catalogue_store::{
    CatalogueStore, PublishError, check_fit, publish, set_status, with_drafts,
};

use crate::support::{Store, eventually, tasks_of};

/// The fields and reasons of a file that does not fit an empty catalogue.
fn refused(file: &str) -> Vec<(String, String)> {
    let definitions = plaudit_task_file::parse(file).unwrap();
    let conflicts = check_fit(&Catalogue::default(), &definitions).expect_err("it should not fit");
    conflicts.into_iter().map(|conflict| (conflict.field, conflict.reason)).collect()
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
fn a_misspelt_prerequisite_gets_the_nearest_task_as_a_suggestion() {
    let file = "{tasks: [
        {id: daily-gifts, kind: ordinary, objective: {on: x, target: 1}},
        {id: daily-gift, kind: ordinary, requires: [daily-gits], objective: {completions_of: [dayly-gifts], target: 1}}]}";
    let reasons: Vec<String> = refused(file).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons.len(), 2);
    for reason in reasons {
        assert!(reason.ends_with("in these files (did you mean daily-gifts?)"), "{reason}");
    }
}

/// The catalogue after these files were published one after the other.
fn published(files: &[String]) -> Catalogue {
    files.iter().fold(Catalogue::default(), |known, file| {
        let definitions = plaudit_task_file::parse(file).unwrap();
        with_drafts(&known, &definitions, jiff::Timestamp::UNIX_EPOCH).unwrap()
    })
}

/// Open periods may go on under an earlier version, so each action touches those tasks too.
#[test]
fn rule_23_tasks_that_listened_to_an_action_in_an_earlier_version_count_too() {
    let known = published(&[tasks(400, "gift.sent"), tasks(400, "other")]);
    let more = |count: usize, action: &str| {
        let file = tasks(count, action).replace("{id: t", "{id: more");
        plaudit_task_file::parse(&file).unwrap()
    };
    let conflicts = check_fit(&known, &more(101, "gift.sent")).unwrap_err();
    let reason = &conflicts[0].reason;
    assert!(reason.contains("\"gift.sent\" would touch 501 tasks, at most 500"), "{reason}");
    assert_eq!(check_fit(&known, &more(100, "gift.sent")), Ok(()));
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
    // Refused are both the same task and another one with its id, and the rest of the file with it.
    for again in [tasks(3, "gift.sent"), tasks(3, "other")] {
        let refused = publish(&store.pool, &tasks_of(&again), "test").await;
        let Err(PublishError::Conflicts(conflicts)) = refused else { panic!("{refused:?}") };
        assert_eq!(conflicts.len(), 1);
        assert!(conflicts[0].reason.contains("ids are never reused"), "{}", conflicts[0].reason);
    }
    let resumed = set_status(&store.pool, &retired, Status::Active, "test").await;
    assert!(matches!(resumed, Err(PublishError::Retired(_))), "{resumed:?}");
    let versions = "select count(*) from task_versions where task_id in ('t0', 't2')";
    assert_eq!(store.count(versions).await, 1, "what was published first");
}

/// Tasks with one pattern each. `{n}` in the pattern stands for the number of the task; without it
/// all are equal.
fn matching(count: usize, pattern: &str) -> String {
    let task = |n: usize| {
        let pattern = pattern.replace("{n}", &n.to_string());
        format!(
            "{{id: m{n}, kind: ordinary, text: {{en: {{title: T}}}}, \
             objective: {{on: x, where: \"data.s.matches('{pattern}')\", target: 1}}}}"
        )
    };
    format!("{{tasks: [{}]}}", (0..count).map(task).collect::<Vec<_>>().join(", "))
}

/// Rule 23: each pattern is within its limit, but together they take time and memory in every
/// process.
#[tokio::test]
async fn rule_23_patterns_are_bounded_over_the_whole_catalogue() {
    // 13 ranges, repeated up to 490 times.
    const LARGE: &str = "^[acegikmoqsuwy]{1,490}{n}$";
    let too_many = plaudit_task_file::parse(&matching(85, LARGE)).unwrap_err();
    assert_eq!(too_many.len(), 1, "{too_many:?}");
    assert!(too_many[0].to_string().contains("500000 are allowed"), "{too_many:?}");

    // The published tasks count too, even if the definitions come in two files.
    let store = Store::with_tasks(&matching(70, LARGE)).await;
    let more: Vec<_> = (70..85).map(|n| LARGE.replace("{n}", &n.to_string())).collect();
    let more: Vec<_> = more.iter().flat_map(|pattern| tasks_of(&matching(1, pattern))).collect();
    let renamed = |(n, mut task): (usize, TaskDefinition)| {
        task.id = format!("more{n}").parse().unwrap();
        task
    };
    let more: Vec<_> = more.into_iter().enumerate().map(renamed).collect();
    let Err(PublishError::Conflicts(conflicts)) = publish(&store.pool, &more, "test").await else {
        panic!("it is too many")
    };
    assert_eq!((conflicts.len(), conflicts[0].field.as_str()), (1, "objective.where"));
    assert!(conflicts[0].reason.contains("500000 are allowed"), "{}", conflicts[0].reason);

    // Equal patterns count once.
    publish(&store.pool, &tasks_of(&matching(90, "^[acegikmoqsuwy]{1,490}0$")), "test")
        .await
        .unwrap();
}

/// A batch is cancelled after some seconds. A catalogue that takes longer to compile is still
/// compiled once.
#[tokio::test(flavor = "multi_thread")]
async fn rule_23_a_catalogue_is_compiled_even_if_its_first_readers_are_cut_off() {
    let store = Store::with_tasks(&matching(2, r"^\\\\p{L}{1,60}{n}$")).await;
    let catalogue = CatalogueStore::default();
    let began = Instant::now();
    let read = eventually("the catalogue is read", async || {
        let reading = catalogue.newest(&store.pool);
        tokio::time::timeout(Duration::from_millis(300), reading).await.ok()
    });
    let read = read.await.unwrap();
    assert_eq!(read.tasks().len(), 2, "after {:?}", began.elapsed());
}
