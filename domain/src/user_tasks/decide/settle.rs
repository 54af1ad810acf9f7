//! Effects of time alone: unclaimed rewards expire, or are granted or forfeited with their period;
//! streaks are protected, or break.

use jiff::Timestamp;

use super::streak;
use crate::catalogue::Catalogue;
use crate::user_tasks::event::{Event, UnclaimedRewards};
use crate::user_tasks::state::{ClaimableMilestone, UserTasks};
use crate::user_tasks::terms::Lapsed;

/// Returns the events that are due as of a moment, in order of time. They do not depend on who
/// asks, or when.
pub(super) fn settle(state: &UserTasks, as_of: Timestamp, catalogue: &Catalogue) -> Vec<Event> {
    let mut due = due_rewards(state, as_of);
    let with_streaks = state.tasks.iter().filter(|(_, past)| past.streak.is_some());
    for task in with_streaks.filter_map(|(id, _)| catalogue.task(id)) {
        due.extend(streak::sweep(state, task, as_of).into_iter().map(|event| match event {
            Event::StreakProtected { at, .. } | Event::StreakBroken { at, .. } => (at, event),
            other => (as_of, other),
        }));
    }
    in_order(due)
}

/// Returns the due events about rewards alone.
pub(super) fn settle_rewards(state: &UserTasks, as_of: Timestamp) -> Vec<Event> {
    in_order(due_rewards(state, as_of))
}

/// A stable sort: at one instant by task, then in the order in which they were earned.
fn in_order(mut due: Vec<(Timestamp, Event)>) -> Vec<Event> {
    due.sort_by_key(|(at, _)| *at);
    due.into_iter().map(|(_, event)| event).collect()
}

fn due_rewards(state: &UserTasks, as_of: Timestamp) -> Vec<(Timestamp, Event)> {
    let mut due = Vec::new();
    for (task, past) in &state.tasks {
        for claimable in &past.claimable {
            let Some(lapse) = claimable.terms.lapsed(as_of) else { continue };
            let ClaimableMilestone { period, at, version, rewards, .. } = claimable;
            let unclaimed = UnclaimedRewards {
                task: task.clone(),
                version: *version,
                period: period.clone(),
                milestone: *at,
                at: lapse.at,
                rewards: rewards.clone(),
                budgeted: None,
            };
            let event = match lapse.becomes {
                Lapsed::Expired => Event::RewardsExpired(unclaimed),
                Lapsed::Forfeited => Event::RewardsForfeited(unclaimed),
                Lapsed::Granted => Event::RewardsGranted(unclaimed),
            };
            due.push((lapse.at, event));
        }
    }
    due
}
