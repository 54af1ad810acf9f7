//! Deliveries in a batch: the grants they concern, and how they are recorded.

use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::{Command, Reward, RewardState};
use uuid::Uuid;

use super::{BatchDecider, by_hand, metadata};
use crate::batch::{Item, Origin, Outcome, Work};
use crate::rewards::grants::GrantLookup;
use crate::seen_actions::NewlySeen;

/// The grants that an item concerns.
pub(super) fn grants_of(item: &Item) -> Vec<GrantLookup> {
    let (user, grants): (&UserId, Vec<Uuid>) = match &item.work {
        Work::Action(action) => (&action.user, action.acknowledged_grant().into_iter().collect()),
        Work::StartDeliveries { user, rewards } => {
            (user, rewards.iter().map(|reward| reward.grant).collect())
        }
        Work::SettleDeliveries { user, settled, .. } => {
            (user, settled.iter().map(|(grant, _)| *grant).collect())
        }
        Work::Redeliver { user, grant, .. } => (user, vec![*grant]),
        Work::ByHand { key, command, .. } => {
            (&key.user, by_hand::grant_of(command).into_iter().collect())
        }
        Work::Claim { .. }
        | Work::ClaimAll { .. }
        | Work::CountPast { .. }
        | Work::SettleBackfills
        | Work::ReleaseBackfill { .. }
        | Work::Settle { .. }
        | Work::Park(_) => return vec![],
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
pub(super) fn redelivery_identity(item: &Item) -> Option<Uuid> {
    match (&item.work, &item.origin) {
        (Work::Redeliver { grant, .. }, Origin::Request(id)) => {
            Some(Uuid::new_v5(id, grant.as_bytes()))
        }
        _ => None,
    }
}

impl<'b> BatchDecider<'_, 'b> {
    /// Has a reward delivered again, once per request.
    pub(super) fn redeliver(
        &mut self,
        item: &'b Item,
        user: &UserId,
        command: &Command,
    ) -> Outcome {
        let identity = redelivery_identity(item);
        if identity.is_some_and(|identity| self.seen.contains(&identity)) {
            return Outcome::Accepted;
        }
        let outcome = self.carry_out(item, user, command);
        if let (Outcome::Accepted, Some(identity)) = (&outcome, identity) {
            self.seen.insert(identity);
            self.decided.newly_seen.push(NewlySeen { lane: item.lane, identity, sequence: None });
        }
        outcome
    }

    /// The grants among these that were revoked and must not be sent.
    fn revoked(&mut self, item: &Item, user: &UserId, rewards: &[Reward]) -> Vec<Uuid> {
        let grants = &self.working(item, user).loaded.state.grants;
        let is_revoked = |grant: &Uuid| {
            grants.get(grant).is_some_and(|grant| grant.state == RewardState::Revoked)
        };
        rewards.iter().map(|reward| reward.grant).filter(is_revoked).collect()
    }

    /// Records that rewards are handed over, unless they were revoked.
    pub(super) fn start_deliveries(
        &mut self,
        item: &'b Item,
        user: &UserId,
        rewards: &[Reward],
    ) -> Outcome {
        let command = Command::StartDeliveries { rewards: rewards.to_vec() };
        match self.carry_out(item, user, &command) {
            Outcome::Accepted => match self.revoked(item, user, rewards) {
                revoked if revoked.is_empty() => Outcome::Accepted,
                revoked => Outcome::Revoked(revoked),
            },
            outcome => outcome,
        }
    }

    /// Decides a command whose only answer is whether it was accepted.
    pub(super) fn carry_out(
        &mut self,
        item: &'b Item,
        user: &UserId,
        command: &Command,
    ) -> Outcome {
        match self.decide(item, user, command) {
            Ok(decision) => {
                if !decision.events.is_empty() {
                    self.record(item, user, decision.events, &metadata(item, None));
                }
                Outcome::Accepted
            }
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }
}
