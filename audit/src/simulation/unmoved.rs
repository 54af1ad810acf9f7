//! The tasks that an action does not move, each with the reason.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::TaskId;
use plaudit_domain::user_tasks::{Decision, Event, Unmoved, UnmovedReason, UserTasks};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// A task that would not move.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnmovedTask {
    /// The task.
    pub task: TaskId,
    /// The machine-readable reason, such as `filtered_out`.
    pub reason: String,
    /// A description of the reason for people.
    pub detail: String,
    /// The `where` that was evaluated, if it is the reason.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The fields that the `where` names, with their values; null for a field that does not exist.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub saw: Map<String, Value>,
}

/// Lists the tasks that an action would not move, in order of their ids: all that listen to it, and
/// of the others the drafted ones, or all of them if there are no drafts.
pub(super) fn unmoved_tasks(
    state: &UserTasks,
    action: &Action,
    decision: &Decision,
    catalogue: &Catalogue,
    drafted: &BTreeSet<TaskId>,
) -> Vec<UnmovedTask> {
    let decided =
        decision.unmoved.iter().map(|unmoved| explained(state, action, unmoved, catalogue));
    let mut found: BTreeMap<TaskId, UnmovedTask> =
        decided.map(|unmoved| (unmoved.task.clone(), unmoved)).collect();
    for event in &decision.events {
        if let Event::ActionTooLate { task, .. } | Event::ActionNotCounted { task, .. } = event {
            found.insert(task.clone(), refused_by_event(task, event));
        }
    }
    let moved: BTreeSet<_> = decision.events.iter().filter_map(Event::task).collect();
    for task in catalogue.tasks() {
        let is_asked = drafted.is_empty() || drafted.contains(&task.id);
        if is_asked && !moved.contains(&task.id) && !found.contains_key(&task.id) {
            let detail = format!("it does not listen to {}", action.kind);
            found.insert(task.id.clone(), plain(&task.id, "not_subscribed", detail));
        }
    }
    found.into_values().collect()
}

fn plain(task: &TaskId, reason: &str, detail: String) -> UnmovedTask {
    let (task, reason) = (task.clone(), reason.to_owned());
    UnmovedTask { task, reason, detail, filter: None, saw: Map::new() }
}

fn refused_by_event(task: &TaskId, event: &Event) -> UnmovedTask {
    match event {
        Event::ActionTooLate { period, watermark, .. } => {
            let detail = format!(
                "too late: period {period} was closed by an action of {watermark}, the latest that the task counted"
            );
            plain(task, "too_late", detail)
        }
        Event::ActionNotCounted { reason, .. } => plain(task, "not_counted", reason.clone()),
        _ => plain(task, "unmoved", String::new()),
    }
}

fn explained(
    state: &UserTasks,
    action: &Action,
    unmoved: &Unmoved,
    catalogue: &Catalogue,
) -> UnmovedTask {
    let mut described = plain(&unmoved.task, &name_of(&unmoved.reason), unmoved.reason.to_string());
    let version = unmoved.reason.filter_version();
    let version = version.and_then(|version| catalogue.version(&unmoved.task, version));
    if let Some(filter) = version.and_then(|v| v.definition.objective.filter.clone()) {
        described.saw = values_in(&filter, state, action);
        described.filter = Some(filter);
    }
    described
}

/// Returns the name of a reason: the only word, or the first key, of its JSON.
fn name_of(reason: &UnmovedReason) -> String {
    match serde_json::to_value(reason) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// Returns the fields that a `where` names, such as `data.coins`, with their values.
fn values_in(filter: &str, state: &UserTasks, action: &Action) -> Map<String, Value> {
    let mut user = state.attributes.clone();
    user.insert("id".to_owned(), action.user.as_str().into());
    user.insert("zone".to_owned(), state.zones.current().into());
    let roots = json!({
        "data": action.data,
        "user": user,
        "action": {"id": action.id, "source": action.source, "type": action.kind,
            "time": action.occurred_at.to_string()},
    });
    let mut saw = Map::new();
    for path in paths_in(filter) {
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = roots.pointer(&pointer).cloned().unwrap_or(Value::Null);
        saw.insert(path, value);
    }
    saw
}

/// Finds the paths below `data`, `user` and `action` in an expression. A path ends before a call,
/// as in `data.name.startsWith('a')`. Paths inside text literals are found too; they do no harm.
fn paths_in(filter: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    let mut paths = BTreeSet::new();
    let mut rest = filter;
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let path = if after.starts_with('(') {
            word.rsplit_once('.').map_or("", |(path, _)| path)
        } else {
            word
        };
        if ["data.", "user.", "action."].iter().any(|root| path.starts_with(root)) {
            paths.insert(path.trim_end_matches('.').to_owned());
        }
        rest = after;
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_a_condition_are_found() {
        let found = paths_in(
            "data.coins >= 10 && user.vip in [1, 2] && !data.room.name.startsWith('a') && has(data.x)",
        );
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["data.coins", "data.room.name", "data.x", "user.vip"]);
    }

    #[test]
    fn a_reason_has_a_name() {
        assert_eq!(name_of(&UnmovedReason::FilteredOut(1)), "filtered_out");
        assert_eq!(name_of(&UnmovedReason::NotSubscribed(3)), "not_subscribed");
        assert_eq!(name_of(&UnmovedReason::Locked(vec![])), "locked");
    }
}
