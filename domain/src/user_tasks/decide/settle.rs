//! What time alone brings about: rewards that nobody claimed expire, or go the way their task says.

use jiff::Timestamp;

use crate::user_tasks::event::{Event, UnclaimedRewards};
use crate::user_tasks::state::{ClaimableMilestone, UserTasks};
use crate::user_tasks::terms::{Lapse, Lapsed};

/// The facts that are due as of a moment, in order of time. The same whoever asks, and when.
pub(super) fn settle(state: &UserTasks, as_of: Timestamp) -> Vec<Event> {
    let mut due: Vec<(Lapse, Event)> = Vec::new();
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
            due.push((lapse, event));
        }
    }
    // Stable: at one instant by task, then as they were earned.
    due.sort_by_key(|(lapse, _)| lapse.at);
    due.into_iter().map(|(_, event)| event).collect()
}
