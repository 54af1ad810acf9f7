//! The fold: the only place that changes state.

mod rewards;
mod streak;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::event::Event;
use super::reward_state::{RewardState, RewardTransition};
use super::seen::{NewlySeen, Seen};
use super::state::{Grant, PeriodState, ReachedMilestone, TaskState, UserTasks};
use super::terms::Lapsed;
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::ClaimMode;
use rewards::{
    add_claimable, add_waiting, change, grant_waiting, granted_lines, lapse, remove_claimable,
    remove_waiting,
};

pub use rewards::outcomes;

/// Folds one fact into the state. It never fails, never decides, never looks at the catalogue: a
/// decision made under an old catalogue stands.
///
/// Each arm stores what the fact says instead of adding to what was there, so folding the same
/// fact twice is harmless. A new variant must be handled here: there is no `_` arm.
pub fn evolve(state: &mut UserTasks, event: &Event) {
    match event {
        Event::UserUpdated { at, zone, attributes, refused: _ } => {
            update_user(state, *at, zone.as_deref(), attributes);
        }
        Event::ProgressRecorded { task, period, at, .. } => {
            state.counted = true;
            let task = state.tasks.entry(task.clone()).or_default();
            task.watermark = task.watermark.max(Some(*at));
            record_progress(task.open_period(period), event);
            task.forget_closed_periods();
        }
        Event::ProgressCorrected { task, period, starts_over, .. } => {
            state.counted = true;
            let task = state.tasks.entry(task.clone()).or_default();
            if *starts_over && task.streak.take().is_some() {
                task.periods.iter_mut().for_each(PeriodState::withhold_nothing);
            }
            correct_progress(task.open_period(period), event);
            task.forget_closed_periods();
        }
        Event::StreakAdvanced { task, .. } => {
            streak::advance(state.tasks.entry(task.clone()).or_default(), event);
        }
        Event::StreakProtected { task, period, .. } => {
            streak::protect(state.tasks.entry(task.clone()).or_default(), period);
        }
        Event::StreakBroken { task, .. } => {
            streak::break_off(state.tasks.entry(task.clone()).or_default());
        }
        Event::FreezesGranted { task, count, at, .. } => {
            streak::grant_freezes(state.tasks.entry(task.clone()).or_default(), *count, *at);
        }
        Event::FreezeReserved { task, period, .. } => {
            streak::reserve_freeze(state.tasks.entry(task.clone()).or_default(), period);
        }
        Event::MilestoneReached { .. } => reach_milestone(state, event),
        Event::TaskCompleted { task, period, at, .. } => {
            let task = state.tasks.entry(task.clone()).or_default();
            task.completed_at.get_or_insert(*at);
            release(task, period);
            task.forget_closed_periods();
        }
        Event::BackfillReleased { task, period, .. } => {
            let periods = &mut state.tasks.entry(task.clone()).or_default().periods;
            if let Some(open) = periods.iter_mut().find(|p| p.period.key == *period) {
                open.held = false;
            }
        }
        Event::RewardsClaimed { task, period, milestone, rewards, .. } => {
            let task = state.tasks.entry(task.clone()).or_default();
            remove_claimable(task, &period.key, *milestone);
            for reward in rewards {
                change(state, reward, RewardTransition::Claim);
            }
        }
        Event::RewardsExpired(unclaimed) => lapse(state, unclaimed, Lapsed::Expired),
        Event::RewardsForfeited(unclaimed) => lapse(state, unclaimed, Lapsed::Forfeited),
        Event::RewardsGranted(waited) if waited.budgeted.is_some() => grant_waiting(state, waited),
        Event::RewardsGranted(unclaimed) => lapse(state, unclaimed, Lapsed::Granted),
        Event::RewardGranted { reward, .. } => {
            let grant = || Grant { reward: reward.clone(), state: RewardState::Claimed };
            state.grants.entry(reward.grant).or_insert_with(grant);
        }
        Event::RewardsRevoked { task, period, milestone, rewards, unclaimed, .. } => {
            if *unclaimed {
                let task = state.tasks.entry(task.clone()).or_default();
                remove_claimable(task, period, *milestone);
            }
            if let Some(task) = state.tasks.get_mut(task) {
                remove_waiting(task, period, *milestone);
            }
            for reward in rewards {
                change(state, reward, RewardTransition::Revoke);
            }
        }
        Event::DeliveryStarted { reward } => change(state, reward, RewardTransition::HandOver),
        Event::RewardDelivered { reward, .. } => change(state, reward, RewardTransition::Confirm),
        Event::RewardFailed { reward, .. } => change(state, reward, RewardTransition::Fail),
        Event::RedeliveryRequested {
            reward,
            stays_delivered: false,
            stays_delivering: false,
            ..
        } => change(state, reward, RewardTransition::Redeliver { even_if_delivered: false }),
        // For auditors, or for the delivery alone; no rule depends on these events.
        Event::RedeliveryRequested { .. }
        | Event::AcknowledgementIgnored { .. }
        | Event::ActionReversed { .. }
        | Event::CreditKept { .. }
        | Event::PeriodMadeUp { .. }
        | Event::ParkedReleased { .. }
        | Event::ParkedDiscarded { .. }
        | Event::ActionTooLate { .. }
        | Event::ActionNotCounted { .. } => {}
    }
}

/// Folds a stream from its beginning.
pub fn fold<'e>(events: impl IntoIterator<Item = &'e Event>) -> UserTasks {
    let mut state = UserTasks::default();
    for event in events {
        evolve(&mut state, event);
    }
    state
}

/// Adds the grants of a milestone, and records that it was reached.
fn reach_milestone(state: &mut UserTasks, event: &Event) {
    let Event::MilestoneReached {
        task,
        version,
        period,
        milestone,
        at,
        mode,
        rewards,
        terms,
        budgeted,
    } = event
    else {
        return;
    };
    let outcomes = outcomes(*mode, rewards, budgeted.as_deref());
    for (reward, granted_as) in outcomes.clone() {
        let grant = || Grant { reward: reward.clone(), state: granted_as };
        state.grants.entry(reward.grant).or_insert_with(grant);
    }
    let task = state.tasks.entry(task.clone()).or_default();
    let reached = ReachedMilestone {
        at: *milestone,
        period: period.key.clone(),
        version: *version,
        reached_at: *at,
        lines: granted_lines(outcomes),
        terms: *terms,
    };
    if *mode == ClaimMode::Manual && !rewards.is_empty() {
        add_claimable(task, period, &reached, rewards);
    }
    if let Some(budgeted) = budgeted {
        add_waiting(task, period, &reached, &budgeted.waiting);
    }
    reach(task, period, reached);
}

/// Applies a producer's update of the user.
fn update_user(
    state: &mut UserTasks,
    at: Timestamp,
    zone: Option<&str>,
    attributes: &Map<String, Value>,
) {
    if let Some(zone) = zone {
        state.zones.report(at, zone.to_owned(), state.counted);
    }
    merge_attributes(&mut state.attributes, attributes);
    state.updated_at = Some(at);
}

/// Sets the attributes that were reported; `null` removes one.
pub(super) fn merge_attributes(known: &mut Map<String, Value>, reported: &Map<String, Value>) {
    for (name, value) in reported {
        if value.is_null() {
            known.remove(name);
        } else {
            known.insert(name.clone(), value.clone());
        }
    }
}

/// Stores the values of an `Event::ProgressRecorded` in its period.
fn record_progress(open: &mut PeriodState, event: &Event) {
    let Event::ProgressRecorded {
        task: _,
        version,
        period: _,
        closes_at,
        credited: _,
        progress,
        target,
        at,
        withheld,
        held,
        carried,
        surplus,
        dropped: _,
        latest,
        value,
        day,
        completion_of,
    } = event
    else {
        return;
    };
    let passed = if open.withheld { open.passed() } else { 0 };
    open.withheld_progress = Some(passed).filter(|passed| *withheld && passed > progress);
    open.withheld = *withheld;
    open.held = *held;
    open.closes_at = *closes_at;
    open.version = *version;
    open.progress = *progress;
    open.completed = progress >= target;
    open.carried = *carried;
    open.surplus = *surplus;
    let newly = latest.then_some(NewlySeen::Latest(*at));
    let newly = newly.or(value.map(NewlySeen::Value));
    let newly = newly.or_else(|| day.clone().map(NewlySeen::Day));
    let newly = newly.or_else(|| completion_of.clone().map(NewlySeen::Completion));
    open.seen = newly.map(|newly| Seen::add(open.seen.take(), newly));
    forget_seen_once_complete(open);
}

/// A completed period counts no further value; only a composite may still carry over completions.
fn forget_seen_once_complete(open: &mut PeriodState) {
    if open.completed && !matches!(open.seen, Some(Seen::Completions(_))) {
        open.seen = None;
    }
}

/// Stores the values of an `Event::ProgressCorrected` in its period. The values that the period has
/// counted stay, unless it starts over.
fn correct_progress(open: &mut PeriodState, event: &Event) {
    let Event::ProgressCorrected {
        version,
        closes_at,
        progress,
        target,
        withheld,
        carried,
        surplus,
        starts_over,
        ..
    } = event
    else {
        return;
    };
    // Only an operator releases what a backfill holds.
    let held = open.held && *withheld;
    open.withhold_nothing();
    open.withheld = *withheld;
    open.held = held;
    open.closes_at = *closes_at;
    open.version = *version;
    open.progress = *progress;
    open.completed = progress >= target;
    open.carried = *carried;
    open.surplus = *surplus;
    if *starts_over {
        open.seen = None;
    }
    forget_seen_once_complete(open);
}

/// Adds a reached milestone to its period, or to the streak.
fn reach(task: &mut TaskState, period: &Period, reached: ReachedMilestone) {
    release(task, &period.key);
    match &mut task.streak {
        Some(streak) => streak.reach(period, reached),
        None => {
            let list = &mut task.open_period(period).reached;
            list.retain(|r| r.at != reached.at);
            list.push(reached);
        }
    }
    task.forget_closed_periods();
}

/// Clears the marks of withheld milestones of a period.
fn release(task: &mut TaskState, key: &PeriodKey) {
    task.periods
        .iter_mut()
        .filter(|p| p.period.key == *key)
        .for_each(PeriodState::withhold_nothing);
}
