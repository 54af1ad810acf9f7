//! Parts of a task that are legal but questionable.

pub mod counted;
mod fields;
mod rewards;
pub mod uncapped;
mod versions;

use jiff::{SignedDuration, Timestamp};
use plaudit_domain::action::RecentFields;
use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{AtPeriodEnd, Measure, TaskDefinition};
use plaudit_domain::catalogue::{Catalogue, Status};

/// The path below the task, and the message.
pub type Warning = (String, String);

/// Finds the questionable parts of a task, at this time, beside the catalogue in force, and beside
/// the fields that recent actions had.
pub fn of(
    task: &TaskDefinition,
    now: Timestamp,
    catalogue: Option<&Catalogue>,
    recent: &RecentFields,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    window(task, now, &mut warnings);
    short_window(task, &mut warnings);
    never_reached(task, &mut warnings);
    endless(task, &mut warnings);
    if task.backfill.is_some_and(|backfill| backfill.from > now) {
        let message = "is in the future: no past action counts".to_owned();
        warnings.push(("backfill.from".to_owned(), message));
    }
    if let Some(catalogue) = catalogue {
        stopped_dependencies(task, catalogue, &mut warnings);
        if let Some(in_force) = catalogue.task(&task.id) {
            rewards::lowered(task, &in_force.current().definition, &mut warnings);
            changed_audience(task, &in_force.current().definition, &mut warnings);
            versions::extended_window(task, &in_force.current().definition, &mut warnings);
            versions::not_easier(task, &in_force.current().definition, &mut warnings);
        }
    }
    fields::never_seen(task, recent, &mut warnings);
    warnings
}

/// Warns of tasks that this one requires or counts, and that nobody can complete at present.
fn stopped_dependencies(task: &TaskDefinition, catalogue: &Catalogue, warnings: &mut Vec<Warning>) {
    let status_of = |id| catalogue.task(id).map_or(Status::Active, |needed| needed.status);
    for (index, id) in task.requires.iter().enumerate() {
        let message = match status_of(id) {
            Status::Active => continue,
            Status::Paused => format!("{id} is paused: it unlocks nothing until it is resumed"),
            Status::Retired => format!(
                "{id} is retired: users who have not completed it can never unlock this task"
            ),
        };
        warnings.push((format!("requires[{index}]"), message));
    }
    for (index, id) in task.objective.completions_of.iter().enumerate() {
        let message = match status_of(id) {
            Status::Active => continue,
            Status::Paused => format!("{id} is paused: it does not count until it is resumed"),
            Status::Retired => format!("{id} is retired: it never counts again"),
        };
        warnings.push((format!("objective.completions_of[{index}]"), message));
    }
}

fn window(task: &TaskDefinition, now: Timestamp, warnings: &mut Vec<Warning>) {
    if task.window.from == Some(Timestamp::MAX) {
        warnings.push(("window.from".to_owned(), "the window never opens".to_owned()));
    } else if task.window.until.is_some_and(|until| until <= now) {
        let message = "the window has passed: nothing counts any more";
        warnings.push(("window.until".to_owned(), message.to_owned()));
    }
}

/// Warns of an end of the period that never comes.
fn endless(task: &TaskDefinition, warnings: &mut Vec<Warning>) {
    let is_endless = task.every == Cadence::Once && task.window.until.is_none();
    if is_endless && task.claim.at_period_end != AtPeriodEnd::Keep {
        let message = "has no effect: the period of an ordinary task ends with `window.until`, and there is none";
        warnings.push(("claim.at_period_end".to_owned(), message.to_owned()));
    }
}

/// Warns of a window that is shorter than a period, or than the streak that a milestone needs.
/// Clocks that go forward make a period up to two hours shorter.
fn short_window(task: &TaskDefinition, warnings: &mut Vec<Warning>) {
    let (Some(from), Some(until)) = (task.window.from, task.window.until) else { return };
    let (shortest_days, name) = match task.every {
        Cadence::Day => (1, "day"),
        Cadence::Week => (7, "week"),
        Cadence::Month => (28, "month"),
        Cadence::Cron(_) | Cadence::Once => return,
    };
    let shortest = SignedDuration::from_hours(24 * shortest_days - 2);
    let length = until.duration_since(from);
    if length < shortest {
        let message =
            format!("the window is open for less than a {name}, the length of one period");
        warnings.push(("window.until".to_owned(), message));
    }
    // The window may begin and end within a period.
    let periods = length.as_secs() / shortest.as_secs() + 2;
    for (index, milestone) in task.milestones.iter().enumerate() {
        if task.streak.is_some() && milestone.at > periods {
            let at = milestone.at;
            let message =
                format!("the window touches {periods} {name}s, but the streak needs {at}");
            warnings.push((format!("milestones[{index}].at"), message));
        }
    }
}

/// Warns of a target that no user can reach.
fn never_reached(task: &TaskDefinition, warnings: &mut Vec<Warning>) {
    let target = task.objective.target;
    if let Some(most) = task.objective.cap.per_period.filter(|most| *most < target) {
        let message = format!("at most {most} count in a period, but the target is {target}");
        warnings.push(("objective.cap.per_period".to_owned(), message));
    }
    let days = match task.every {
        Cadence::Day => Some(1),
        Cadence::Week => Some(7),
        Cadence::Month => Some(31),
        Cadence::Cron(_) | Cadence::Once => None,
    };
    if let Some(days) =
        days.filter(|most| *most < target && task.objective.measure == Measure::Days)
    {
        let message = format!("a period has at most {days} days, but the target is {target}");
        warnings.push(("objective.measure".to_owned(), message));
    }
    let counted = i64::try_from(task.objective.completions_of.len()).unwrap_or(i64::MAX);
    if counted > 0 && counted < target {
        let message = format!("{counted} tasks are counted, but the target is {target}");
        warnings.push(("objective.target".to_owned(), message));
    }
}

/// Warns of an audience other than that of the version in force.
fn changed_audience(task: &TaskDefinition, in_force: &TaskDefinition, warnings: &mut Vec<Warning>) {
    if task.audience != in_force.audience && !task.audience.is_everybody() {
        let message = "users outside it no longer see the task or count for it, open periods that keep their \
                       version excepted; what they earned stays claimable";
        warnings.push(("audience".to_owned(), message.to_owned()));
    }
}
