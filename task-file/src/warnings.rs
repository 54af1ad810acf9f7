//! What is legal in a task but suspicious.

use jiff::Timestamp;
use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{
    Measure, Milestone, RewardLine, Rewards, TaskDefinition,
};
use plaudit_domain::catalogue::{Catalogue, Status};

/// The path below the task, and what is suspicious there.
type Warning = (String, String);

/// Finds what is suspicious in a task at this time, and beside the catalogue that is in force.
pub fn of(task: &TaskDefinition, now: Timestamp, catalogue: Option<&Catalogue>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    window(task, now, &mut warnings);
    never_reached(task, &mut warnings);
    if task.backfill.is_some_and(|backfill| backfill.from > now) {
        let message = "is in the future: no past action counts".to_owned();
        warnings.push(("backfill.from".to_owned(), message));
    }
    if let Some(catalogue) = catalogue {
        stopped_dependencies(task, catalogue, &mut warnings);
        if let Some(in_force) = catalogue.task(&task.id) {
            lowered_rewards(task, &in_force.current().definition, &mut warnings);
            changed_audience(task, &in_force.current().definition, &mut warnings);
        }
    }
    warnings
}

/// Tasks that this one requires or counts, and that nobody completes any more.
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

/// A target that no user can reach.
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

/// Another audience than that of the version in force.
fn changed_audience(task: &TaskDefinition, in_force: &TaskDefinition, warnings: &mut Vec<Warning>) {
    if task.audience != in_force.audience && !task.audience.is_everybody() {
        let message = "users outside it no longer see the task or count for it, open periods that keep their \
                       version excepted; what they earned stays claimable";
        warnings.push(("audience".to_owned(), message.to_owned()));
    }
}

/// Rewards that the version in force promises and this one does not. Users in the middle of a
/// period see them disappear.
fn lowered_rewards(task: &TaskDefinition, in_force: &TaskDefinition, warnings: &mut Vec<Warning>) {
    for before in &in_force.milestones {
        let found = task.milestones.iter().enumerate().find(|(_, now)| now.at == before.at);
        let Some((index, now)) = found else {
            if !before.rewards.is_empty() {
                let message = format!("the milestone at {} and its rewards are gone", before.at);
                warnings.push(("milestones".to_owned(), message));
            }
            continue;
        };
        lowered_lines(index, before, now, warnings);
    }
}

fn lowered_lines(index: usize, before: &Milestone, now: &Milestone, warnings: &mut Vec<Warning>) {
    for line in &before.rewards {
        let found = now.rewards.iter().enumerate().find(|(_, other)| other.line == line.line);
        let Some((number, other)) = found else {
            let message = format!("the reward line {:?} at {} is gone", line.line, before.at);
            warnings.push((format!("milestones[{index}].rewards"), message));
            continue;
        };
        if let Some(message) = lowered(line, other) {
            let field = if other.fixed().is_some() { "amount" } else { "one_of" };
            warnings.push((format!("milestones[{index}].rewards[{number}].{field}"), message));
        }
    }
}

/// Says how a line pays less than it did. Lines that pay something else can't be compared.
fn lowered(before: &RewardLine, now: &RewardLine) -> Option<String> {
    match (&before.pays, &now.pays) {
        (Rewards::Fixed(was), Rewards::Fixed(is)) if was.kind == is.kind && was.code == is.code => {
            (is.amount < was.amount)
                .then(|| format!("is lower than the {} of the version in force", was.amount))
        }
        _ => None,
    }
}
