//! The fold of granted rewards: the claimable ones, those that wait for a budget, and their states.

use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::ClaimMode;
use crate::user_tasks::event::{Budgeted, Reward, UnclaimedRewards};
use crate::user_tasks::reward_state::{RewardState, RewardTransition};
use crate::user_tasks::state::{
    ClaimableMilestone, GrantedLine, ReachedMilestone, TaskState, UserTasks, WaitingMilestone,
};
use crate::user_tasks::terms::Lapsed;

/// Returns the rewards of a milestone when it is reached, each with its state: the granted, the
/// waiting and the refused.
pub fn outcomes<'e>(
    mode: ClaimMode,
    rewards: &'e [Reward],
    budgeted: Option<&'e Budgeted>,
) -> impl Iterator<Item = (&'e Reward, RewardState)> + Clone {
    let granted = rewards.iter().map(move |reward| (reward, RewardState::granted(mode)));
    let waiting = budgeted.map_or(&[][..], |budgeted| &budgeted.waiting);
    let refused = budgeted.map_or(&[][..], |budgeted| &budgeted.refused);
    let waiting = waiting.iter().map(|reward| (reward, RewardState::Waiting));
    granted.chain(waiting).chain(refused.iter().map(|reward| (reward, RewardState::Refused)))
}

/// The lines of a milestone when it is reached.
pub(super) fn granted_lines<'e>(
    outcomes: impl Iterator<Item = (&'e Reward, RewardState)>,
) -> Vec<GrantedLine> {
    let line = |(reward, state): (&Reward, RewardState)| GrantedLine {
        line: reward.line.clone(),
        kind: reward.kind.clone(),
        code: reward.code.clone(),
        amount: reward.amount,
        state,
    };
    outcomes.map(line).collect()
}

/// Adds a milestone whose rewards wait for a budget.
pub(super) fn add_waiting(
    task: &mut TaskState,
    period: &Period,
    reached: &ReachedMilestone,
    rewards: &[Reward],
) {
    let is_it = |w: &WaitingMilestone| w.period.key == period.key && w.at == reached.at;
    if rewards.is_empty() || task.waiting.iter().any(is_it) {
        return;
    }
    task.waiting.push(WaitingMilestone {
        period: period.clone(),
        at: reached.at,
        version: reached.version,
        reached_at: reached.reached_at,
        rewards: rewards.to_vec(),
    });
}

/// Marks rewards that waited for a budget as claimed.
pub(super) fn grant_waiting(state: &mut UserTasks, waited: &UnclaimedRewards) {
    let task = state.tasks.entry(waited.task.clone()).or_default();
    remove_waiting(task, &waited.period.key, waited.milestone);
    for reward in &waited.rewards {
        change(state, reward, RewardTransition::GrantFromBudget);
    }
}

/// Removes a milestone from those that wait for a budget.
pub(super) fn remove_waiting(task: &mut TaskState, key: &PeriodKey, milestone: i64) {
    task.waiting.retain(|w| !(w.period.key == *key && w.at == milestone));
}

/// Adds a milestone whose rewards can be claimed.
pub(super) fn add_claimable(
    task: &mut TaskState,
    period: &Period,
    reached: &ReachedMilestone,
    rewards: &[Reward],
) {
    let is_it = |c: &ClaimableMilestone| c.period.key == period.key && c.at == reached.at;
    if task.claimable.iter().any(is_it) {
        return; // the same fact again
    }
    task.unclaimed_count += 1;
    task.claimable.push(ClaimableMilestone {
        period: period.clone(),
        at: reached.at,
        version: reached.version,
        reached_at: reached.reached_at,
        rewards: rewards.to_vec(),
        terms: reached.terms,
    });
}

/// Removes rewards that lapsed from those that can be claimed, and sets their state.
pub(super) fn lapse(state: &mut UserTasks, unclaimed: &UnclaimedRewards, lapsed: Lapsed) {
    let task = state.tasks.entry(unclaimed.task.clone()).or_default();
    remove_claimable(task, &unclaimed.period.key, unclaimed.milestone);
    for reward in &unclaimed.rewards {
        change(state, reward, lapsed.transition());
    }
}

/// Removes a milestone from those that can be claimed. It lowers the count also if the milestone
/// was not read from its row.
pub(super) fn remove_claimable(task: &mut TaskState, key: &PeriodKey, milestone: i64) {
    let loaded = task.claimable.len() as u64;
    task.claimable.retain(|c| !(c.period.key == *key && c.at == milestone));
    let is_known = (task.claimable.len() as u64) < loaded;
    if is_known || loaded < task.unclaimed_count {
        task.unclaimed_count = task.unclaimed_count.saturating_sub(1);
    }
}

/// Sets the state of a granted reward to the target of a transition, wherever it is remembered.
pub(super) fn change(user: &mut UserTasks, reward: &Reward, transition: RewardTransition) {
    let state = transition.target();
    if let Some(grant) = user.grants.get_mut(&reward.grant) {
        grant.state = state;
    }
    if let Some(task) = user.tasks.get_mut(&reward.task) {
        set_line(task, reward, state);
    }
}

fn set_line(task: &mut TaskState, reward: &Reward, state: RewardState) {
    let in_periods = task.periods.iter_mut().flat_map(|p| &mut p.reached);
    let in_streak = task.streak.iter_mut().flat_map(|s| &mut s.reached);
    let in_streak = in_streak.map(|reached| &mut reached.milestone);
    for reached in in_periods.chain(in_streak) {
        if reached.at == reward.milestone && reached.period == reward.period {
            for line in reached.lines.iter_mut().filter(|line| line.line == reward.line) {
                line.state = state;
            }
        }
    }
}
