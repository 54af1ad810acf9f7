//! The fold: the only place that changes state.

mod streak;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::event::{Budgeted, Event, Reward, UnclaimedRewards};
use super::seen::{NewlySeen, Seen};
use super::state::{
    ClaimableMilestone, ClosedPeriod, Grant, GrantedLine, PeriodState, ReachedMilestone,
    RewardState, TaskState, UserTasks, WaitingMilestone,
};
use super::terms::Lapsed;
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::ClaimMode;

/// Folds one fact into the state. Never fails, never decides, never looks at the catalogue: what
/// was decided under an old catalogue stays decided.
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
            record_progress(open_period(task, period), event);
            close_periods(task);
        }
        Event::ProgressCorrected { task, period, starts_over, .. } => {
            state.counted = true;
            let task = state.tasks.entry(task.clone()).or_default();
            if *starts_over && task.streak.take().is_some() {
                task.periods.iter_mut().for_each(PeriodState::withhold_nothing);
            }
            correct_progress(open_period(task, period), event);
            close_periods(task);
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
            close_periods(task);
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
                set_state(state, reward, RewardState::Claimed);
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
                set_state(state, reward, RewardState::Revoked);
            }
        }
        Event::DeliveryStarted { reward } => set_state(state, reward, RewardState::Delivering),
        Event::RewardDelivered { reward, .. } => set_state(state, reward, RewardState::Delivered),
        Event::RewardFailed { reward, .. } => set_state(state, reward, RewardState::Failed),
        Event::RedeliveryRequested {
            reward,
            stays_delivered: false,
            stays_delivering: false,
            ..
        } => set_state(state, reward, RewardState::Claimed),
        // For auditors, or for the delivery alone; no rule depends on them.
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

/// Grants what a milestone earns, and notes that it was reached.
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

/// Takes an update of the user by a producer.
fn update_user(
    state: &mut UserTasks,
    at: Timestamp,
    zone: Option<&str>,
    attributes: &Map<String, Value>,
) {
    match zone {
        Some(zone) if state.zones.is_unknown() && !state.counted => {
            state.zones.settle(zone.to_owned());
        }
        Some(zone) => state.zones.change(at, zone.to_owned()),
        None => {}
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

/// Stores what an `Event::ProgressRecorded` says of its period.
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

/// Stores what an `Event::ProgressCorrected` says of its period. What the period has counted it still has,
/// unless it starts over.
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
    // What a backfill holds is released by an operator alone.
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

/// What a reward is from the moment of its grant on.
fn granted_state(mode: ClaimMode) -> RewardState {
    match mode {
        ClaimMode::Manual => RewardState::Claimable,
        ClaimMode::Automatic => RewardState::Claimed,
    }
}

/// The state of each reward of a milestone when it is reached: of those granted, those that wait, and those
/// that are refused.
pub fn outcomes<'e>(
    mode: ClaimMode,
    rewards: &'e [Reward],
    budgeted: Option<&'e Budgeted>,
) -> impl Iterator<Item = (&'e Reward, RewardState)> + Clone {
    let granted = rewards.iter().map(move |reward| (reward, granted_state(mode)));
    let waiting = budgeted.map_or(&[][..], |budgeted| &budgeted.waiting);
    let refused = budgeted.map_or(&[][..], |budgeted| &budgeted.refused);
    let waiting = waiting.iter().map(|reward| (reward, RewardState::Waiting));
    granted.chain(waiting).chain(refused.iter().map(|reward| (reward, RewardState::Refused)))
}

/// The lines of a milestone when it is reached.
fn granted_lines<'e>(
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

/// The rewards of a milestone wait for a budget.
fn add_waiting(
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

/// Rewards that waited for a budget are granted.
fn grant_waiting(state: &mut UserTasks, waited: &UnclaimedRewards) {
    let task = state.tasks.entry(waited.task.clone()).or_default();
    remove_waiting(task, &waited.period.key, waited.milestone);
    for reward in &waited.rewards {
        set_state(state, reward, RewardState::Claimed);
    }
}

/// Nothing of a milestone waits for a budget any more.
fn remove_waiting(task: &mut TaskState, key: &PeriodKey, milestone: i64) {
    task.waiting.retain(|w| !(w.period.key == *key && w.at == milestone));
}

/// The rewards of a milestone wait to be claimed.
fn add_claimable(
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

/// Rewards that nobody claimed can't be claimed any more.
fn lapse(state: &mut UserTasks, unclaimed: &UnclaimedRewards, lapsed: Lapsed) {
    let task = state.tasks.entry(unclaimed.task.clone()).or_default();
    remove_claimable(task, &unclaimed.period.key, unclaimed.milestone);
    for reward in &unclaimed.rewards {
        set_state(state, reward, lapsed.state());
    }
}

/// The rewards of a milestone are claimed. It counts although it is not among those that were read from rows.
fn remove_claimable(task: &mut TaskState, key: &PeriodKey, milestone: i64) {
    let loaded = task.claimable.len() as u64;
    task.claimable.retain(|c| !(c.period.key == *key && c.at == milestone));
    let is_known = (task.claimable.len() as u64) < loaded;
    if is_known || loaded < task.unclaimed_count {
        task.unclaimed_count = task.unclaimed_count.saturating_sub(1);
    }
}

/// A milestone is reached in its period, or by a step of a streak.
fn reach(task: &mut TaskState, period: &Period, reached: ReachedMilestone) {
    release(task, &period.key);
    match &mut task.streak {
        Some(streak) => streak.reach(period, reached),
        None => {
            let list = &mut open_period(task, period).reached;
            list.retain(|r| r.at != reached.at);
            list.push(reached);
        }
    }
    close_periods(task);
}

/// The state of a period, opened if it is new.
fn open_period<'t>(task: &'t mut TaskState, period: &Period) -> &'t mut PeriodState {
    let found = task.periods.iter().position(|p| p.period.key == period.key);
    let index = found.unwrap_or_else(|| {
        let index = task.periods.partition_point(|p| p.period.starts_at < period.starts_at);
        let opened = PeriodState {
            period: period.clone(),
            closes_at: None,
            version: 0,
            progress: 0,
            completed: false,
            carried: 0,
            surplus: 0,
            seen: None,
            withheld: false,
            held: false,
            withheld_progress: None,
            withheld_step: None,
            reached: Vec::new(),
        };
        task.periods.insert(index, opened);
        index
    });
    &mut task.periods[index]
}

/// A period withholds nothing any more.
fn release(task: &mut TaskState, key: &PeriodKey) {
    task.periods
        .iter_mut()
        .filter(|p| p.period.key == *key)
        .for_each(PeriodState::withhold_nothing);
}

/// How long after the first action of a period the one before it is still shown: a producer's clock
/// may be ahead of the reader's, for whom the period before has not ended. As much as an action may
/// be ahead by default, `future_tolerance`.
const SHOWN_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Forgets periods that no action can reach any more. The newest stays: it is what a screen shows.
fn close_periods(task: &mut TaskState) {
    let Some(watermark) = task.watermark else { return };
    let last = task.periods.len().saturating_sub(1);
    let newest_from = task.periods.last().and_then(|p| p.period.starts_at);
    let is_young = newest_from.is_some_and(|from| watermark.duration_since(from) < SHOWN_FOR);
    let mut index = 0;
    task.periods.retain(|p| {
        let keep = index == last
            || (index + 1 == last && is_young)
            || p.withheld
            || p.closes_at().is_none_or(|end| watermark < end);
        index += 1;
        if let (false, Some(ends_at)) = (keep, p.period.ends_at)
            && task.closed.as_ref().is_none_or(|closed| closed.ends_at < ends_at)
        {
            let (key, surplus) = (p.period.key.clone(), p.surplus);
            task.closed = Some(ClosedPeriod { key, ends_at, surplus });
        }
        keep
    });
}

/// A granted reward is in another state, wherever it is remembered.
fn set_state(user: &mut UserTasks, reward: &Reward, state: RewardState) {
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
