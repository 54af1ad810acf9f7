//! The documentation is complete, and its examples can be published as they are.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{Store, TASKS, action, tasks_of};
use plaudit_event_store::catalogue_store;
use plaudit_task_file::SCHEMA;
use serde_json::{Value, json};

const TASKS_PAGE: &str = include_str!("../../../docs/tasks.md");
const NEW_KIND_PAGE: &str = include_str!("../../../docs/new-kind.md");
const EVENTS_PAGE: &str = include_str!("../../../docs/events.md");

/// The YAML examples on a page.
fn examples_of(page: &'static str) -> Vec<&'static str> {
    let blocks = page.split("```yaml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// "The first 100 users" of the page about new kinds, with two users instead.
#[tokio::test]
async fn the_first_users_are_rewarded_by_a_budget_and_the_next_one_is_not() {
    let [example] = examples_of(NEW_KIND_PAGE)[..] else { panic!("one example is expected") };
    let two = example.replace("limit: 100", "limit: 2");
    assert_ne!(two, example);
    let store = Store::with_tasks(&two).await;
    for user in ["ann", "bob", "cid", "ann"] {
        let id = uuid::Uuid::new_v4().to_string();
        store.act(action(user, &id, "team.formed", "2026-03-29T12:00:00Z", &json!({}))).await;
    }
    let granted: Vec<(String, String)> =
        sqlx::query_as("select user_id, state from reward_state order by user_id")
            .fetch_all(&store.pool)
            .await
            .unwrap();
    let expected = [("ann", "claimable"), ("bob", "claimable"), ("cid", "refused")];
    assert_eq!(granted, expected.map(|(user, state)| (user.to_owned(), state.to_owned())));
}

#[tokio::test]
async fn every_example_of_a_task_file_can_be_published() {
    let examples = [examples_of(TASKS_PAGE), examples_of(NEW_KIND_PAGE)].concat();
    assert!(examples.len() > 6, "{} examples were found", examples.len());
    let store = Store::with_tasks(TASKS).await;
    for example in examples {
        let tasks = tasks_of(example);
        let published = catalogue_store::publish(&store.pool, &tasks, "documentation").await;
        published.unwrap_or_else(|error| panic!("{example}\n{error}"));
        let catalogue = store.executor.catalogue().newest(&store.pool).await.unwrap();
        for task in &tasks {
            let newest = catalogue.task(&task.id).unwrap().versions.last().unwrap();
            assert_eq!(&newest.definition, task, "{example}");
        }
    }
}

/// The property names of a JSON Schema, at any depth.
fn properties_of(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::Object(properties)) = fields.get("properties") {
                found.extend(properties.keys().cloned());
            }
            fields.values().for_each(|field| properties_of(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| properties_of(item, found)),
        _ => {}
    }
}

/// True if a page has a name in code, alone or within a path or an example.
fn has_in_code(page: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    // Split at backticks, every second piece is code.
    page.split('`').skip(1).step_by(2).any(|code| code.split(|c| !is_part(c)).any(|w| w == name))
}

#[test]
fn every_field_of_a_task_file_is_documented() {
    let mut fields = BTreeSet::new();
    properties_of(&serde_json::from_str(SCHEMA).unwrap(), &mut fields);
    assert!(fields.len() > 30, "{fields:?}");
    let missing: Vec<_> = fields.iter().filter(|name| !has_in_code(TASKS_PAGE, name)).collect();
    assert!(missing.is_empty(), "docs/tasks.md does not mention {missing:?}");
}

/// The field names of a value, at any depth.
fn fields_of(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.keys().cloned());
            fields.values().for_each(|field| fields_of(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| fields_of(item, found)),
        _ => {}
    }
}

#[test]
fn every_event_and_each_of_its_fields_is_documented() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let stored: Value =
            serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        let name = stored["type"].as_str().unwrap();
        let heading = format!("### `{name}`\n");
        let section = EVENTS_PAGE.split(&heading).nth(1).unwrap_or_else(|| {
            panic!("docs/events.md has no section for {name}");
        });
        let section = section.split("\n### ").next().unwrap();
        let mut fields = BTreeSet::new();
        for (field, value) in stored.as_object().unwrap() {
            // The attributes of a user have arbitrary names.
            if field != "attributes" {
                fields_of(value, &mut fields);
            }
            let is_mentioned = field == "type" || has_in_code(section, field);
            assert!(is_mentioned, "docs/events.md does not mention {field} of {name}");
        }
        let missing: Vec<_> = fields.iter().filter(|f| !has_in_code(EVENTS_PAGE, f)).collect();
        assert!(missing.is_empty(), "docs/events.md does not mention {missing:?}, parts of {name}");
        seen += 1;
    }
    assert!(seen >= 10);
}
