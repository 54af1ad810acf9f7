//! The tasks that an action does not move, each with the reason.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::expression::Filter;
use plaudit_domain::ids::TaskId;
use plaudit_domain::user_tasks::{Decision, Event, Unmoved, UnmovedReason, UserTasks};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::seen_values;

/// A task that would not move.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnmovedTask {
    /// The task.
    pub task: TaskId,
    /// The machine-readable reason, such as `filtered_out`.
    pub reason: String,
    /// A description of the reason for people.
    pub detail: String,
    /// The `where` of the objective or of the audience that was evaluated, if it is the reason.
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
    let version_of = |number: u32| catalogue.version(&unmoved.task, number);
    if let Some(version) = unmoved.reason.filter_version().and_then(version_of) {
        let paths = version.filter().and_then(Result::ok).map(Filter::paths).unwrap_or_default();
        described.saw = seen_values::of_action(&paths, state, action);
        described.filter.clone_from(&version.definition.objective.filter);
    }
    if let UnmovedReason::OutsideAudience(number) = unmoved.reason
        && let Some(version) = version_of(number)
    {
        let audience = &version.definition.audience;
        described.saw = seen_values::of_user(audience, &action.user, state);
        described.filter.clone_from(&audience.filter);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_a_name() {
        assert_eq!(name_of(&UnmovedReason::FilteredOut(1)), "filtered_out");
        assert_eq!(name_of(&UnmovedReason::NotSubscribed(3)), "not_subscribed");
        assert_eq!(name_of(&UnmovedReason::Locked(vec![])), "locked");
    }
}
