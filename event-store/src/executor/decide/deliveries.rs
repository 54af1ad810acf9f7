//! Deliveries in a batch: which grants they are about, and the command that each is.

use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::{Command, RewardState};
use uuid::Uuid;

use super::{BatchDecider, by_hand, metadata};
use crate::batch::{Item, Outcome, Work};
use crate::rewards::grants::GrantLookup;
use crate::states::truncate_to_micros;

/// The grants that an item speaks of.
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

fn command_of(work: &Work) -> Option<Command> {
    Some(match work {
        Work::Settle { as_of, .. } => Command::Settle { as_of: truncate_to_micros(*as_of) },
        Work::StartDeliveries { rewards, .. } => {
            Command::StartDeliveries { rewards: rewards.clone() }
        }
        Work::SettleDeliveries { settled, at, .. } => {
            Command::SettleDeliveries { settled: settled.clone(), at: *at }
        }
        Work::Redeliver { grant, by, reason, at, even_if_delivered, .. } => Command::Redeliver {
            grant: *grant,
            by: by.clone(),
            reason: reason.clone(),
            at: *at,
            even_if_delivered: *even_if_delivered,
        },
        Work::Action(_)
        | Work::CountPast { .. }
        | Work::SettleBackfills
        | Work::ReleaseBackfill { .. }
        | Work::Claim { .. }
        | Work::ClaimAll { .. }
        | Work::ByHand { .. }
        | Work::Park(_)
        | Work::ResolveParked(_) => return None,
    })
}

impl<'b> BatchDecider<'_, 'b> {
    /// The grants that are about to be sent and were revoked.
    fn revoked(&mut self, item: &Item, user: &UserId) -> Vec<Uuid> {
        let Work::StartDeliveries { rewards, .. } = &item.work else { return vec![] };
        let grants = &self.working(item, user).loaded.state.grants;
        let is_revoked = |grant: &Uuid| {
            grants.get(grant).is_some_and(|grant| grant.state == RewardState::Revoked)
        };
        rewards.iter().map(|reward| reward.grant).filter(is_revoked).collect()
    }

    /// Records what time alone brings about, and how deliveries go.
    pub(super) fn deliver(&mut self, item: &'b Item, user: &UserId) -> Outcome {
        let Some(command) = command_of(&item.work) else { return Outcome::Accepted };
        match self.decide(item, user, &command) {
            Ok(decision) => {
                if !decision.events.is_empty() {
                    self.record(item, user, decision.events, &metadata(item, None));
                }
                match self.revoked(item, user) {
                    revoked if revoked.is_empty() => Outcome::Accepted,
                    revoked => Outcome::Revoked(revoked),
                }
            }
            Err(rejection) => Outcome::Rejected(rejection),
        }
    }
}
