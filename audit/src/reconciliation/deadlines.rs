//! The time by which grants should have been confirmed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::pool::{ANSWER_MAX, within};
use plaudit_event_store::rewards::handed_over;
use sqlx::PgConnection;
use uuid::Uuid;

use super::window::GrantInWindow;

/// The time a grant may take from when it is due until it is confirmed or given up.
#[derive(Debug, Clone, Default)]
pub struct Deadlines {
    /// Keyed by the name of the channel to the payer.
    pub by_channel: HashMap<String, Duration>,
}

impl Deadlines {
    /// Returns the grants among these that are on their way to a payer and should have been
    /// confirmed or given up by now. A delivery with a `give_up_at` is overdue after it; deliveries
    /// by webhook have one from the beginning, others once they are sent. Any other delivery is
    /// overdue once its channel's time has passed, or the longest of all channels' times if its
    /// channel is unknown.
    pub(super) async fn overdue(
        &self,
        grants: &[GrantInWindow],
        states: &HashMap<Uuid, RewardState>,
        connection: &mut PgConnection,
    ) -> sqlx::Result<HashSet<Uuid>> {
        let is_due = |found: &&GrantInWindow| {
            let state = states.get(&found.grant);
            matches!(state, Some(RewardState::Claimed | RewardState::Delivering))
        };
        let due: Vec<_> = grants.iter().filter(is_due).collect();
        let ids: Vec<_> = due.iter().map(|found| (found.lane, found.grant)).collect();
        let underway = within(ANSWER_MAX, handed_over::underway(&ids, connection)).await?;
        let now = Timestamp::now();
        let overdue = due.into_iter().filter(|found| {
            let delivery = underway.get(&found.grant);
            let end = delivery.and_then(|delivery| delivery.give_up_at);
            let began = delivery.map_or(found.last_event_at, |delivery| {
                delivery.queued_at.max(found.last_event_at)
            });
            let allowed = self.allowed(delivery.map(|delivery| delivery.channel.as_str()));
            now > end.unwrap_or_else(|| began.saturating_add(allowed).unwrap_or(Timestamp::MAX))
        });
        Ok(overdue.map(|found| found.grant).collect())
    }

    fn allowed(&self, channel: Option<&str>) -> Duration {
        let of_channel = channel.and_then(|channel| self.by_channel.get(channel));
        of_channel.or_else(|| self.by_channel.values().max()).copied().unwrap_or(Duration::MAX)
    }
}
