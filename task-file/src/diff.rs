//! The differences between two definitions, field by field as a file names them.

use plaudit_domain::catalogue::definition::TaskDefinition;
use serde_json::{Map, Value};

use crate::export;

/// A field that differs between two definitions. `None` means that the field is absent and has its
/// default.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Change {
    /// Such as `objective.target` or `milestones[at: 100].rewards[line: coins].amount`.
    pub path: String,
    /// The value before the change.
    pub before: Option<Value>,
    /// The value after the change.
    pub after: Option<Value>,
}

/// The key fields, which identify the items of a list whatever their order.
const KEYS: [&str; 2] = ["at", "line"];

/// Returns the changes from `before` to `after`, sorted by path; none for equal definitions.
pub fn diff(before: &TaskDefinition, after: &TaskDefinition) -> Vec<Change> {
    let mut changes = Vec::new();
    let [before, after] = [before, after].map(export::task_as_json);
    compare("", Some(&before), Some(&after), &mut changes);
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

fn compare(path: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        _ if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            compare_fields(path, before, after, changes);
        }
        _ => match items_by_key(before, after) {
            Some((key, before, after)) => compare_items(path, key, before, after, changes),
            None => changes.push(Change {
                path: path.to_owned(),
                before: before.cloned(),
                after: after.cloned(),
            }),
        },
    }
}

fn compare_fields(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<Change>,
) {
    let dot = if path.is_empty() { "" } else { "." };
    let added = after.keys().filter(|name| !before.contains_key(*name));
    for name in before.keys().chain(added) {
        compare(&format!("{path}{dot}{name}"), before.get(name), after.get(name), changes);
    }
}

/// Returns two lists whose items all have the same key field, such as `at` of milestones.
fn items_by_key<'v>(
    before: Option<&'v Value>,
    after: Option<&'v Value>,
) -> Option<(&'static str, &'v [Value], &'v [Value])> {
    let (before, after) = (before?.as_array()?, after?.as_array()?);
    let has = |key: &&str| before.iter().chain(after).all(|item| item.get(key).is_some());
    KEYS.into_iter().find(has).map(|key| (key, before.as_slice(), after.as_slice()))
}

fn compare_items(
    path: &str,
    key: &str,
    before: &[Value],
    after: &[Value],
    changes: &mut Vec<Change>,
) {
    let find = |items: &'_ [Value], name: &Value| items.iter().position(|item| item[key] == *name);
    let added = after.iter().filter(|item| find(before, &item[key]).is_none());
    for item in before.iter().chain(added) {
        let name = &item[key];
        let shown = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let path = format!("{path}[{key}: {shown}]");
        let [before, after] = [before, after].map(|all| find(all, name).map(|index| &all[index]));
        compare(&path, before, after, changes);
    }
}
