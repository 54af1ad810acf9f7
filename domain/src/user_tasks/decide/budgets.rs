//! Budgets: which rewards are granted when a milestone is reached, and which waiting rewards later.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::catalogue::definition::{AtCap, BudgetUse, Payout, RewardLine};
use crate::catalogue::{BudgetKey, BudgetsUsed, Catalogue};
use crate::ids::TaskId;
use crate::user_tasks::event::{Allotment, AllottedAs, Budgeted, Event, Reward, UnclaimedRewards};
use crate::user_tasks::state::UserTasks;

/// The remaining budgets while one decision is made.
#[derive(Clone)]
struct Left<'a> {
    catalogue: &'a Catalogue,
    used: &'a BudgetsUsed,
    taken: BudgetsUsed,
}

impl Left<'_> {
    /// Takes the cost of a line, or 0 if the window does not hold all of it. `None`: no such
    /// budget.
    fn take(&mut self, used: &BudgetUse, amount: i64, at: Timestamp) -> Option<(BudgetKey, i64)> {
        // A line names a budget of its version, so the catalogue has one of this name.
        let budget = self.catalogue.budget(&used.budget.id)?;
        let (key, cost) = (budget.key_at(at), budget.cost_of(amount));
        let before = self.used.of(&key).saturating_add(self.taken.of(&key));
        if before.checked_add(cost)? > budget.budget.limit {
            return Some((key, 0));
        }
        self.taken.add(&key, cost);
        Some((key, cost))
    }
}

/// Grants the rewards of each reached milestone that its budgets hold, and records the outcome of
/// each line.
pub(super) fn allot(events: &mut [Event], catalogue: &Catalogue, used: &BudgetsUsed) {
    if !catalogue.has_budgets() {
        return;
    }
    let mut left = Left { catalogue, used, taken: BudgetsUsed::default() };
    for event in events {
        let Event::MilestoneReached { task, version, milestone, at, rewards, budgeted, .. } = event
        else {
            continue;
        };
        let lines = lines_of(catalogue, task, *version, *milestone);
        if rewards.iter().any(|reward| budget_of(lines, reward).is_some()) {
            *budgeted = Some(Box::new(allot_lines(rewards, lines, *at, &mut left)));
        }
    }
}

/// Leaves the granted rewards in `rewards` and returns the allotments.
fn allot_lines(
    rewards: &mut Vec<Reward>,
    lines: &[RewardLine],
    at: Timestamp,
    left: &mut Left<'_>,
) -> Budgeted {
    let mut budgeted = Budgeted::default();
    let waits = !take_waiting(rewards, lines, at, left, &mut budgeted.lines);
    let mut granted = Vec::with_capacity(rewards.len());
    for mut reward in std::mem::take(rewards) {
        let Some(used) = budget_of(lines, &reward) else {
            granted.push(reward);
            continue;
        };
        if used.at_cap == AtCap::Wait {
            granted.push(reward);
            continue;
        }
        let Some((key, taken)) = left.take(used, reward.amount, at) else {
            granted.push(reward);
            continue;
        };
        let outcome = match &used.at_cap {
            _ if taken > 0 => AllottedAs::Granted,
            AtCap::Substitute(_) => AllottedAs::Substituted,
            AtCap::Refuse | AtCap::Wait => AllottedAs::Refused,
        };
        budgeted.lines.insert(reward.line.clone(), Allotment { key, taken, outcome });
        match (&used.at_cap, outcome) {
            (_, AllottedAs::Refused) => budgeted.refused.push(reward),
            (AtCap::Substitute(Payout { kind, code, amount }), AllottedAs::Substituted) => {
                (reward.kind, reward.code, reward.amount) = (kind.clone(), code.clone(), *amount);
                granted.push(reward);
            }
            _ => granted.push(reward),
        }
    }
    let list = if waits { &mut budgeted.waiting } else { rewards };
    *list = granted;
    budgeted
}

/// Takes the cost of the lines that may wait, all of it or nothing, and records the outcome.
/// Returns true if they are granted.
fn take_waiting(
    rewards: &[Reward],
    lines: &[RewardLine],
    at: Timestamp,
    left: &mut Left<'_>,
    allotted: &mut BTreeMap<String, Allotment>,
) -> bool {
    let mut tried = left.clone();
    let may_wait = rewards.iter().filter_map(|reward| {
        let used = budget_of(lines, reward).filter(|used| used.at_cap == AtCap::Wait)?;
        Some((reward, tried.take(used, reward.amount, at)?))
    });
    let mut taken: Vec<_> = may_wait.collect();
    let holds = taken.iter().all(|(_, (_, taken))| *taken > 0);
    if holds {
        *left = tried;
    } else {
        taken.iter_mut().for_each(|(_, (_, taken))| *taken = 0);
    }
    let outcome = if holds { AllottedAs::Granted } else { AllottedAs::Waiting };
    for (reward, (key, taken)) in taken {
        allotted.insert(reward.line.clone(), Allotment { key, taken, outcome });
    }
    holds
}

/// Grants the waiting rewards that fit by now, the oldest first.
pub(super) fn grant_waiting(
    state: &UserTasks,
    as_of: Timestamp,
    catalogue: &Catalogue,
    used: &BudgetsUsed,
) -> Vec<Event> {
    let mut left = Left { catalogue, used, taken: BudgetsUsed::default() };
    let waiting = state
        .tasks
        .iter()
        .flat_map(|(id, task)| task.waiting.iter().map(move |milestone| (id, milestone)));
    let mut waiting: Vec<_> = waiting.collect();
    // A stable sort: at one instant by task, then in the order in which they were earned.
    waiting.sort_by_key(|(_, milestone)| milestone.reached_at);
    let granted = waiting.into_iter().filter_map(|(task, waiting)| {
        let lines = lines_of(catalogue, task, waiting.version, waiting.at);
        let mut budgeted = Budgeted::default();
        let holds = take_waiting(&waiting.rewards, lines, as_of, &mut left, &mut budgeted.lines);
        // Without an allotment, the version is not in this catalogue, and its rewards wait on.
        let is_granted = holds && !budgeted.lines.is_empty();
        is_granted.then(|| {
            Event::RewardsGranted(UnclaimedRewards {
                task: task.clone(),
                version: waiting.version,
                period: waiting.period.clone(),
                milestone: waiting.at,
                at: as_of,
                rewards: waiting.rewards.clone(),
                budgeted: Some(Box::new(budgeted)),
            })
        })
    });
    granted.collect()
}

fn lines_of<'c>(
    catalogue: &'c Catalogue,
    task: &TaskId,
    version: u32,
    milestone: i64,
) -> &'c [RewardLine] {
    let version = catalogue.version(task, version);
    let milestones = version.map_or(&[][..], |version| &version.definition.milestones);
    milestones.iter().find(|m| m.at == milestone).map_or(&[], |m| &m.rewards)
}

/// Returns the budget that a reward takes from. A substitute takes from none.
fn budget_of<'l>(lines: &'l [RewardLine], reward: &Reward) -> Option<&'l BudgetUse> {
    let Reward { kind, code, amount, .. } = reward;
    let paid = Payout { kind: kind.clone(), code: code.clone(), amount: *amount };
    lines.iter().find(|line| line.line == reward.line)?.budget_of(&paid)
}
