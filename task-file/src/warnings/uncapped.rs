//! Rewards that are capped by a budget in one place and granted from no budget in another.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::catalogue::definition::{
    AtCap, BudgetId, BudgetUse, Payout, Rewards, TaskDefinition,
};
use plaudit_domain::catalogue::{Catalogue, Status};
use plaudit_domain::ids::TaskId;

use super::Warning;

/// A payout that a task may grant.
struct Grantable<'t> {
    /// The path below the task.
    path: String,
    pays: &'t Payout,
    budget: Option<&'t BudgetId>,
}

/// The budget that caps each kind and code of reward.
type Capped<'t> = BTreeMap<(&'t str, &'t str), &'t BudgetId>;

/// Compares the tasks of a file with each other. Returns the warnings about each of them.
pub fn in_file(tasks: &[&TaskDefinition]) -> Vec<Vec<Warning>> {
    let capped = capped(tasks.iter().copied());
    tasks.iter().map(|task| uncapped(task, &capped)).collect()
}

/// Compares a task with those in force that its file does not replace.
pub fn beside(
    task: &TaskDefinition,
    catalogue: &Catalogue,
    replaced: &BTreeSet<TaskId>,
) -> Vec<Warning> {
    let stay = catalogue.tasks().iter().filter(|other| {
        other.status != Status::Retired && other.id != task.id && !replaced.contains(&other.id)
    });
    let stay: Vec<&TaskDefinition> = stay.map(|other| &other.current().definition).collect();
    let mut warnings = uncapped(task, &capped(stay.iter().copied()));
    for Grantable { path, pays, budget } in grantable(task) {
        let Some(budget) = budget else { continue };
        let others = stay.iter().filter(|other| {
            let is_same = |g: &Grantable<'_>| named(g.pays) == named(pays) && g.budget.is_none();
            grantable(other).iter().any(is_same)
        });
        for TaskDefinition { id, .. } in others {
            let (kind, code) = named(pays);
            let message = format!(
                "{budget} does not count {kind}/{code} of task {id}, which names no budget"
            );
            warnings.push((format!("{path}.budget"), message));
        }
    }
    warnings
}

fn named(payout: &Payout) -> (&str, &str) {
    (&payout.kind, &payout.code)
}

fn capped<'t>(tasks: impl Iterator<Item = &'t TaskDefinition>) -> Capped<'t> {
    let grantable = tasks.flat_map(grantable);
    grantable.filter_map(|grantable| Some((named(grantable.pays), grantable.budget?))).collect()
}

fn uncapped(task: &TaskDefinition, capped: &Capped<'_>) -> Vec<Warning> {
    let warning = |Grantable { path, pays, budget }: Grantable<'_>| {
        let (kind, code) = named(pays);
        let other = capped.get(&(kind, code)).filter(|_| budget.is_none())?;
        let message =
            format!("grants {kind}/{code} from no budget, while {other} caps it elsewhere");
        Some((path, message))
    };
    grantable(task).into_iter().filter_map(warning).collect()
}

/// All payouts of a task, those that replace others at a cap included. These draw on no budget.
fn grantable(task: &TaskDefinition) -> Vec<Grantable<'_>> {
    let mut found = Vec::new();
    for (index, milestone) in task.milestones.iter().enumerate() {
        for (number, line) in milestone.rewards.iter().enumerate() {
            let path = format!("milestones[{index}].rewards[{number}]");
            match &line.pays {
                Rewards::Fixed(pays) => add(&mut found, path, pays, line.budget.as_ref()),
                Rewards::OneOf(choices) => {
                    for (place, choice) in choices.iter().enumerate() {
                        let path = format!("{path}.one_of[{place}]");
                        add(&mut found, path, &choice.payout, choice.budget.as_ref());
                    }
                }
            }
        }
    }
    found
}

fn add<'t>(
    found: &mut Vec<Grantable<'t>>,
    path: String,
    pays: &'t Payout,
    budget: Option<&'t BudgetUse>,
) {
    if let Some(BudgetUse { at_cap: AtCap::Substitute(pays), .. }) = budget {
        found.push(Grantable { path: format!("{path}.at_cap.substitute"), pays, budget: None });
    }
    found.push(Grantable { path, pays, budget: budget.map(|used| &used.budget.id) });
}
