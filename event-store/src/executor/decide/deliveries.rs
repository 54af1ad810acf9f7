//! Deliveries in a batch: the grants they concern, and how they are recorded.

use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::{
    Event, Redelivery, Reward, RewardState, decide_deliveries_settled, decide_deliveries_started,
    decide_redelivery,
};
use uuid::Uuid;

use super::{BatchDecider, by_hand};
use crate::batch::{
    Decide, Incoming, Item, NotApplied, Origin, Redeliver, RedeliverAnswer, SettleDeliveries,
    StartDeliveries, StartedDeliveries, Work,
};
use crate::rewards::grants::GrantLookup;
use crate::seen_actions::NewlySeen;

/// The grants that an item concerns.
pub(super) fn grants_of(item: &Item) -> Vec<GrantLookup> {
    let (user, grants): (&UserId, Vec<Uuid>) = match &item.work {
        Work::Incoming(Incoming::Action(action)) => {
            (&action.user, action.acknowledged_grant().into_iter().collect())
        }
        Work::StartDeliveries(StartDeliveries { user, rewards }) => {
            (user, rewards.iter().map(|reward| reward.grant).collect())
        }
        Work::SettleDeliveries(SettleDeliveries { user, settled, .. }) => {
            (user, settled.iter().map(|(grant, _)| *grant).collect())
        }
        Work::Redeliver(Redeliver { user, grant, .. }) => (user, vec![*grant]),
        Work::ByHand(change) => {
            (&change.key.user, by_hand::grant_of(&change.command).into_iter().collect())
        }
        Work::Claim(_)
        | Work::ClaimAll(_)
        | Work::CountPast(_)
        | Work::SettleBackfills(_)
        | Work::ReleaseBackfill(_)
        | Work::Settle(_)
        | Work::Incoming(Incoming::Park(_)) => return vec![],
        Work::ResolveParked(resolution) => {
            let named = resolution.actions.iter().filter_map(|action| {
                let grant = action.acknowledged_grant()?;
                Some(GrantLookup { lane: item.lane, user: action.user.clone(), grant })
            });
            return named.collect();
        }
    };
    let lookup = |grant| GrantLookup { lane: item.lane, user: user.clone(), grant };
    grants.into_iter().map(lookup).collect()
}

/// The identity under which a request to deliver a grant again is remembered. A commit that was
/// not answered is sent again, and must not lead to a second delivery.
pub(super) fn redelivery_identity(origin: &Origin, again: &Redeliver) -> Option<Uuid> {
    match origin {
        Origin::Request(id) => Some(Uuid::new_v5(id, again.grant.as_bytes())),
        _ => None,
    }
}

impl BatchDecider<'_, '_> {
    /// The grants among these that were revoked and must not be sent.
    fn revoked(&mut self, item: &Item, user: &UserId, rewards: &[Reward]) -> Vec<Uuid> {
        let grants = &self.working(item, user).loaded.state.grants;
        let is_revoked = |grant: &Uuid| {
            grants.get(grant).is_some_and(|grant| grant.state == RewardState::Revoked)
        };
        rewards.iter().map(|reward| reward.grant).filter(is_revoked).collect()
    }

    /// The event of a delivery that may be under way without one.
    fn started_before(&mut self, user: &UserId, grant: &Uuid) -> Option<Event> {
        let is_under_way = self.under_way.remove(grant);
        let found = self.users.get(user)?.loaded.state.grants.get(grant)?;
        is_under_way.then(|| Event::DeliveryStarted { reward: found.reward.clone() })
    }
}

impl<'b> Decide<'b, StartDeliveries> for BatchDecider<'_, 'b> {
    /// Records that rewards are handed over, unless they were revoked.
    fn answer(
        &mut self,
        item: &'b Item,
        started: &'b StartDeliveries,
    ) -> Result<StartedDeliveries, NotApplied> {
        let StartDeliveries { user, rewards } = started;
        let events = decide_deliveries_started(self.readable(item, user)?, rewards);
        self.note(item, user, events);
        Ok(StartedDeliveries { revoked: self.revoked(item, user, rewards) })
    }
}

impl<'b> Decide<'b, SettleDeliveries> for BatchDecider<'_, 'b> {
    fn answer(&mut self, item: &'b Item, outcomes: &'b SettleDeliveries) -> Result<(), NotApplied> {
        let SettleDeliveries { user, settled, at } = outcomes;
        let events = decide_deliveries_settled(self.readable(item, user)?, settled, *at);
        self.note(item, user, events);
        Ok(())
    }
}

impl<'b> Decide<'b, Redeliver> for BatchDecider<'_, 'b> {
    /// Has a reward delivered again, once per request.
    fn answer(
        &mut self,
        item: &'b Item,
        again: &'b Redeliver,
    ) -> Result<RedeliverAnswer, NotApplied> {
        let Redeliver { user, grant, by, reason, at, even_if_delivered, keeps_payer } = again;
        self.readable(item, user)?;
        let identity = redelivery_identity(&item.origin, again);
        if identity.is_some_and(|identity| self.seen.contains(&identity)) {
            return Ok(RedeliverAnswer::Accepted);
        }
        let redelivery = Redelivery {
            grant: *grant,
            by: by.clone(),
            reason: reason.clone(),
            at: *at,
            even_if_delivered: *even_if_delivered,
            keeps_payer: *keeps_payer,
        };
        let state = &self.users[user].loaded.state;
        Ok(match decide_redelivery(state, &redelivery) {
            Ok(requested) => {
                // From now on only the log can tell that it may be paid: the delivery is queued
                // again behind the place up to which the topic's sender may have published.
                let events = self.started_before(user, grant).into_iter().chain([requested]);
                self.note(item, user, events.collect());
                let lane = item.lane;
                let seen = |identity| NewlySeen { lane, identity, sequence: None };
                self.seen.extend(identity);
                self.decided.newly_seen.extend(identity.map(seen));
                RedeliverAnswer::Accepted
            }
            Err(rejection) => RedeliverAnswer::Rejected(rejection),
        })
    }
}
