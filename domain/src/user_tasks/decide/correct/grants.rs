//! Grants by hand, and revocations of grants.

use jiff::Timestamp;
use uuid::Uuid;

use crate::catalogue::definition::Payout;
use crate::user_tasks::correction::{Correction, by_hand};
use crate::user_tasks::decide::{Rejection, settle};
use crate::user_tasks::event::{Event, Reward, grant_id};
use crate::user_tasks::reward_state::{RewardState, RewardTransition};
use crate::user_tasks::state::{ClaimableMilestone, Grant, UserTasks};

/// Returns the event of a reward that is granted by hand; none if it was granted before.
pub(super) fn grant(
    state: &UserTasks,
    correction: &Correction,
    line: &str,
    payout: &Payout,
) -> Vec<Event> {
    let Correction { user, by, reason, at, .. } = correction;
    let (task, period) = (by_hand(), Correction::period_by_hand());
    let grant = grant_id(user, &task, &period, 0, line);
    if state.grants.contains_key(&grant) {
        return vec![];
    }
    let Payout { kind, code, amount } = payout.clone();
    let line = line.to_owned();
    let (version, milestone, reached_at) = (0, 0, *at);
    let reward =
        Reward { grant, task, version, period, milestone, line, kind, code, amount, reached_at };
    vec![Event::RewardGranted { reward, by: by.clone(), reason: reason.clone() }]
}

/// Returns the event of rewards that are taken back. If time alone granted the reward, the due
/// events about rewards come first.
pub(super) fn revoke(
    state: &UserTasks,
    correction: &Correction,
    id: Uuid,
    whole_milestone: bool,
) -> Result<Vec<Event>, Rejection> {
    let grant = state.grants.get(&id).ok_or(Rejection::UnknownGrant { grant: id })?;
    let refused = |state, reason| Err(Rejection::NotRevocable { grant: id, state, reason });
    let (by, reason, at) = (correction.by.clone(), correction.reason.clone(), correction.at);
    let current = match grant.state {
        RewardState::Claimable => grant_lapse(state, grant, at).unwrap_or(RewardState::Claimable),
        other => other,
    };
    if let Err(reason) = current.after(RewardTransition::Revoke) {
        return refused(current, reason);
    }
    let mut events = Vec::new();
    let (rewards, unclaimed) = match grant.state {
        RewardState::Claimable if current == RewardState::Claimable => {
            let milestone = milestone_of(state, grant);
            if milestone.is_some_and(|m| m.rewards.len() > 1) && !whole_milestone {
                return refused(
                    current,
                    "the rewards of its milestone can only be claimed together; revoke the whole milestone, \
                     or this one once they are claimed",
                );
            }
            let rewards = milestone.map(|milestone| milestone.rewards.clone());
            (rewards.unwrap_or_else(|| vec![grant.reward.clone()]), true)
        }
        RewardState::Claimable => {
            events = settle::settle_rewards(state, at);
            (vec![grant.reward.clone()], false)
        }
        RewardState::Waiting => match waiting_with(state, grant) {
            None => {
                return refused(
                    current,
                    "it waits for its budget behind many others; revoke those that wait for longer first",
                );
            }
            Some(rewards) if rewards.len() > 1 && !whole_milestone => {
                return refused(
                    current,
                    "the rewards of its milestone wait for their budgets together; revoke the whole milestone",
                );
            }
            Some(rewards) => (rewards.to_vec(), false),
        },
        _ => (vec![grant.reward.clone()], false),
    };
    let Reward { task, version, period, milestone, .. } = grant.reward.clone();
    events.push(Event::RewardsRevoked {
        task,
        version,
        period,
        milestone,
        rewards,
        unclaimed,
        by,
        reason,
        at,
    });
    Ok(events)
}

/// Returns the milestone of a claimable grant.
fn milestone_of<'s>(state: &'s UserTasks, grant: &Grant) -> Option<&'s ClaimableMilestone> {
    let Reward { task, period, milestone, .. } = &grant.reward;
    let claimable = &state.tasks.get(task)?.claimable;
    claimable.iter().find(|c| c.period.key == *period && c.at == *milestone)
}

/// Returns the rewards that wait for their budgets together with this one, itself included. `None`
/// if they were not among those read from rows.
fn waiting_with<'s>(state: &'s UserTasks, grant: &Grant) -> Option<&'s [Reward]> {
    let Reward { task, period, milestone, .. } = &grant.reward;
    let waiting = &state.tasks.get(task)?.waiting;
    let found = waiting.iter().find(|w| w.period.key == *period && w.at == *milestone)?;
    Some(&found.rewards)
}

/// Returns the state into which a claimable grant has lapsed at `at`, recorded or not; `None` if it
/// has not.
fn grant_lapse(state: &UserTasks, grant: &Grant, at: Timestamp) -> Option<RewardState> {
    Some(milestone_of(state, grant)?.terms.lapsed(at)?.becomes.state())
}
