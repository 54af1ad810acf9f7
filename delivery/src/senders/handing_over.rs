//! Hands rewards over to a topic whose payer confirms nothing, without an event before each.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::lane::Lane;
use plaudit_event_store::ExecuteError;
use plaudit_event_store::deliveries::Due;
use plaudit_event_store::deliveries::handoffs::{self, Handoff};
use plaudit_event_store::lanes::Contention;
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::rewards::RewardPlace;
use plaudit_followers::bounded::{CALL_MAX, begin, within};

use super::Desk;

impl Desk {
    /// Stores how far these deliveries reach, and leaves out revoked rewards: the form of
    /// [`Self::clear`] for a topic whose payer confirms nothing. It writes one row per lane instead
    /// of an event per reward. A revocation committed before is seen here, and a later one finds the
    /// reward under way.
    pub async fn hand_over(&mut self, due: Vec<Due>) -> Result<Vec<Due>, ExecuteError> {
        let places = handoffs::last_places(due.iter().map(|due| (due.lane, due.place)));
        let left_out = self.store_handoffs(places).await?;
        let due: Vec<Due> = due.into_iter().filter(|due| !left_out.contains(&due.lane)).collect();
        let revoked = self.revoked(due.iter()).await?;
        Ok(due.into_iter().filter(|due| !revoked.contains(&due.reward.grant)).collect())
    }

    /// Stores the last place of each lane. Returns the lanes that another writer holds.
    async fn store_handoffs(
        &mut self,
        mut places: BTreeMap<Lane, RewardPlace>,
    ) -> Result<BTreeSet<Lane>, ExecuteError> {
        let mut left_out = BTreeSet::new();
        // What is found held is left out of the second try.
        for _ in 0..2 {
            if places.is_empty() {
                return Ok(left_out);
            }
            let marks: Vec<Handoff> = places
                .iter()
                .map(|(lane, up_to)| {
                    let before = self.handed_over.get(lane).copied();
                    Handoff { lane: *lane, up_to: *up_to, before }
                })
                .collect();
            let Some(contention) = self.try_store_handoffs(&marks).await? else {
                self.handed_over.retain(|lane, _| !places.contains_key(lane));
                for lane in places.keys() {
                    self.take_in(*lane);
                }
                self.handed_over.extend(places);
                return Ok(left_out);
            };
            let error = ExecuteError::LanesBusy(contention.clone());
            let Contention::Held(held) = contention else { return Err(error) };
            for lane in held {
                places.remove(&lane);
                left_out.insert(lane);
                self.leave_out(lane, &error);
            }
        }
        left_out.extend(places.into_keys());
        Ok(left_out)
    }

    async fn try_store_handoffs(
        &self,
        marks: &[Handoff],
    ) -> Result<Option<Contention>, ExecuteError> {
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let mut tx = begin(&mut connection).await?;
            let contention = handoffs::begin(marks, &mut tx).await?;
            match contention {
                None => tx.commit().await?,
                Some(_) => tx.rollback().await?,
            }
            connection.give_back();
            Ok::<_, sqlx::Error>(contention)
        };
        Ok(within(CALL_MAX, call).await?)
    }
}
