//! The fold: the only place that changes state.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::event::{Event, Reward};
use super::state::{
    ClaimableMilestone, ClosedPeriod, GrantedLine, PeriodState, ReachedMilestone, RewardState,
    StreakState, TaskState, UserTasks,
};
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
        Event::ProgressRecorded {
            task,
            version,
            period,
            closes_at,
            progress,
            target,
            at,
            withheld,
            ..
        } => {
            state.counted = true;
            let task = state.tasks.entry(task.clone()).or_default();
            task.watermark = task.watermark.max(Some(*at));
            let open = open_period(task, period);
            open.closes_at = *closes_at;
            open.version = *version;
            open.progress = *progress;
            open.completed = progress >= target;
            open.withheld = *withheld;
            close_periods(task);
        }
        Event::StreakAdvanced { task, period, current, longest, step, .. } => {
            let task = state.tasks.entry(task.clone()).or_default();
            if let Some(open) = task.periods.iter_mut().find(|p| p.period.key == period.key) {
                open.withheld_step = open.withheld.then_some(*step);
            }
            // The first step of a cycle leaves the milestones of the one before behind.
            let (cycle_from, reached) = match task.streak.take().filter(|_| *step > 1) {
                Some(streak) => (streak.cycle_from, streak.reached),
                None => (period.starts_at, Vec::new()),
            };
            let (current, longest, step, last) = (*current, *longest, *step, period.clone());
            task.streak = Some(StreakState { current, longest, step, last, cycle_from, reached });
        }
        Event::StreakBroken { task, .. } => {
            let streak = state.tasks.get_mut(task).and_then(|t| t.streak.as_mut());
            if let Some(streak) = streak {
                streak.current = 0;
                streak.step = 0;
                streak.reached.clear();
            }
        }
        Event::MilestoneReached { task, version, period, milestone, at, mode, rewards } => {
            let task = state.tasks.entry(task.clone()).or_default();
            let reached = ReachedMilestone {
                at: *milestone,
                period: period.key.clone(),
                version: *version,
                reached_at: *at,
                lines: granted_lines(*mode, rewards),
            };
            if *mode == ClaimMode::Manual && !rewards.is_empty() {
                add_claimable(task, period, &reached, rewards);
            }
            reach(task, period, reached);
        }
        Event::TaskCompleted { task, period, at, .. } => {
            let task = state.tasks.entry(task.clone()).or_default();
            task.completed_at.get_or_insert(*at);
            release(task, period);
            close_periods(task);
        }
        Event::RewardsClaimed { task, period, milestone, rewards, .. } => {
            let task = state.tasks.entry(task.clone()).or_default();
            remove_claimable(task, &period.key, *milestone);
            for reward in rewards {
                set_line(task, reward, RewardState::Claimed);
            }
        }
        Event::DeliveryStarted { reward } => {
            if let Some(task) = state.tasks.get_mut(&reward.task) {
                set_line(task, reward, RewardState::Delivering);
            }
        }
        // For auditors; no rule depends on them.
        Event::ActionTooLate { .. }
        | Event::ActionNotCounted { .. }
        | Event::ParkedReleased { .. }
        | Event::ParkedDiscarded { .. } => {}
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

/// The lines of a milestone when it is reached.
fn granted_lines(mode: ClaimMode, rewards: &[Reward]) -> Vec<GrantedLine> {
    let state = match mode {
        ClaimMode::Manual => RewardState::Claimable,
        ClaimMode::Automatic => RewardState::Claimed,
    };
    let line = |reward: &Reward| GrantedLine {
        line: reward.line.clone(),
        kind: reward.kind.clone(),
        code: reward.code.clone(),
        amount: reward.amount,
        state,
    };
    rewards.iter().map(line).collect()
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
    });
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

/// A milestone is reached in its period, or in the running cycle of the streak.
fn reach(task: &mut TaskState, period: &Period, reached: ReachedMilestone) {
    release(task, &period.key);
    let list = match &mut task.streak {
        // Released of an earlier cycle: it can be claimed, and is not what this one reached.
        Some(streak) if period.starts_at < streak.cycle_from => return close_periods(task),
        Some(streak) => &mut streak.reached,
        None => &mut open_period(task, period).reached,
    };
    list.retain(|r| r.at != reached.at);
    list.push(reached);
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
            withheld: false,
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
    for open in task.periods.iter_mut().filter(|p| p.period.key == *key) {
        open.withheld = false;
        open.withheld_step = None;
    }
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
            task.closed = Some(ClosedPeriod { key: p.period.key.clone(), ends_at });
        }
        keep
    });
}

fn set_line(task: &mut TaskState, reward: &Reward, state: RewardState) {
    let in_periods = task.periods.iter_mut().flat_map(|p| &mut p.reached);
    let in_streak = task.streak.iter_mut().flat_map(|s| &mut s.reached);
    for reached in in_periods.chain(in_streak) {
        if reached.at == reward.milestone && reached.period == reward.period {
            for line in reached.lines.iter_mut().filter(|line| line.line == reward.line) {
                line.state = state;
            }
        }
    }
}
