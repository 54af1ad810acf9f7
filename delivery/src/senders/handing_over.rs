//! Hands rewards over to a topic whose payer confirms nothing, without an event before each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use plaudit_event_store::ExecuteError;
use plaudit_event_store::deliveries::Due;
use plaudit_event_store::deliveries::handoffs::{self, Handoff};
use plaudit_event_store::lanes::Contention;
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::rewards::RewardPlace;
use plaudit_followers::bounded::{CALL_MAX, begin, within};

use super::Desk;

/// Time limit for waiting for lanes that other sessions hold. Batches hold theirs for milliseconds.
const LANE_WAIT: Duration = Duration::from_millis(800);
/// Interval between tries. Nothing is locked in between.
const LANE_RETRY_AFTER: Duration = Duration::from_millis(10);

impl Desk {
    /// Stores how far these deliveries reach, and leaves out revoked rewards: the form of
    /// [`Self::clear`] for a topic whose payer confirms nothing. It writes one row per lane instead
    /// of an event per reward. A revocation committed before is seen here, and a later one finds the
    /// reward under way.
    pub async fn hand_over(&mut self, due: Vec<Due>) -> Result<Vec<Due>, ExecuteError> {
        // They come in the order of the log, so the last place of each lane is kept.
        let places = due.iter().map(|due| (due.lane, due.place)).collect();
        let left_out = self.store_handoffs(places).await?;
        let due: Vec<Due> = due.into_iter().filter(|due| !left_out.contains(&due.lane)).collect();
        let revoked = self.revoked(due.iter()).await?;
        Ok(due.into_iter().filter(|due| !revoked.contains(&due.reward.grant)).collect())
    }

    /// Stores the last place of each lane. Returns the lanes that another writer holds for longer
    /// than [`LANE_WAIT`]; those known to be held are tried once only.
    async fn store_handoffs(
        &mut self,
        mut places: BTreeMap<Lane, RewardPlace>,
    ) -> Result<BTreeSet<Lane>, ExecuteError> {
        let held = self.held();
        self.handed_over.retain(|lane, _| held.contains(lane));
        let give_up_at = Instant::now() + LANE_WAIT;
        loop {
            for lane in self.try_store_handoffs(&places).await? {
                self.take_in(lane);
                self.handed_over.extend(places.remove_entry(&lane));
            }
            let is_worth_waiting = places.keys().any(|lane| !self.stuck.has(*lane));
            if !is_worth_waiting || Instant::now() >= give_up_at {
                break;
            }
            self.pause(LANE_RETRY_AFTER).await;
        }
        let left_out: BTreeSet<Lane> = places.into_keys().collect();
        let error = ExecuteError::LanesBusy(Contention::Held(left_out.clone()));
        left_out.iter().for_each(|lane| self.leave_out(*lane, &error));
        Ok(left_out)
    }

    /// Stores the places of those lanes that are free, and returns these.
    async fn try_store_handoffs(
        &self,
        places: &BTreeMap<Lane, RewardPlace>,
    ) -> Result<BTreeSet<Lane>, ExecuteError> {
        let handoff = |(lane, up_to): (&Lane, &RewardPlace)| {
            let before = self.handed_over.get(lane).copied();
            Handoff { lane: *lane, up_to: *up_to, before }
        };
        let handoffs: Vec<Handoff> = places.iter().map(handoff).collect();
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let mut tx = begin(&mut connection).await?;
            let stored = handoffs::begin(&handoffs, &mut tx).await?;
            tx.commit().await?;
            connection.give_back();
            Ok::<_, sqlx::Error>(stored)
        };
        Ok(within(CALL_MAX, call).await?)
    }
}
