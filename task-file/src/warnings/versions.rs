//! Differences from the version in force that do not mean what they seem to.

use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{Cap, OnNewVersion, TaskDefinition};

use super::Warning;

/// Warns of a longer window that users who began do not get.
pub fn extended_window(
    task: &TaskDefinition,
    in_force: &TaskDefinition,
    warnings: &mut Vec<Warning>,
) {
    let (before, now) = (in_force.window.until, task.window.until);
    let is_later = before.is_some_and(|before| now.is_none_or(|now| now > before));
    if is_later && task.every == Cadence::Once && !in_force.is_followed_by(task) {
        let message = "is later than in the version in force, but users who have begun keep the old window; with \
                       `on_new_version: adopt` they get the new one";
        warnings.push(("window.until".to_owned(), message.to_owned()));
    }
}

/// Warns of a version that open periods adopt as the easier one, although only its target is.
pub fn not_easier(task: &TaskDefinition, in_force: &TaskDefinition, warnings: &mut Vec<Warning>) {
    if task.on_new_version != OnNewVersion::AdoptIfEasier || !in_force.is_followed_by(task) {
        return;
    }
    let (before, now) = (&in_force.objective, &task.objective);
    let mut warn = |field: &str, what: &str| {
        let message =
            format!("{what}; `adopt_if_easier` compares targets only, so open periods adopt it");
        warnings.push((format!("objective.{field}"), message));
    };
    if now.filter.is_some() && now.filter != before.filter {
        warn("where", "differs from the version in force and may be narrower");
    }
    if now.measure != before.measure {
        warn("measure", "differs from the version in force");
    }
    if is_lower(now.cap, before.cap) {
        warn("cap", "is lower than in the version in force");
    }
}

fn is_lower(now: Cap, before: Cap) -> bool {
    let lower = |now: Option<i64>, before: Option<i64>| {
        now.is_some_and(|now| before.is_none_or(|before| now < before))
    };
    lower(now.per_action, before.per_action) || lower(now.per_period, before.per_period)
}
