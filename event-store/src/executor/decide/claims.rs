//! Claims in a batch: the milestones they take, and the receipts for repeated requests.

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{ClaimRejection, ClaimRequest, Event, decide_claim};

use super::{BatchDecider, CLAIM_ALL_MAX, metadata};
use crate::batch::{ClaimKey, Item, Outcome, Receipt, Work};
use crate::rewards::claimable::MilestoneKey;

/// The idempotency key of a claim.
pub(super) fn key_of(work: &Work) -> Option<ClaimKey> {
    let (user, task, key) = match work {
        Work::Claim { user, task, idempotency_key, .. } => (user, Some(task), idempotency_key),
        Work::ClaimAll { user, idempotency_key, .. } => (user, None, idempotency_key),
        Work::Action(_)
        | Work::CountPast { .. }
        | Work::SettleBackfills
        | Work::ReleaseBackfill { .. }
        | Work::Settle { .. }
        | Work::ByHand { .. }
        | Work::StartDeliveries { .. }
        | Work::SettleDeliveries { .. }
        | Work::Redeliver { .. }
        | Work::Park(_)
        | Work::ResolveParked(_) => return None,
    };
    Some(ClaimKey { user: user.clone(), task: task.cloned(), key: key.clone()? })
}

impl<'b> BatchDecider<'_, 'b> {
    /// True if the item claims everything of a user whose loaded milestones an earlier item has
    /// already claimed. Such an item belongs into the next transaction, which loads the rest.
    pub(super) fn lacks_claimable_of(&self, item: &Item) -> bool {
        let Work::ClaimAll { user, .. } = &item.work else { return false };
        self.claimed_all.contains(user) && self.more_claimable.contains(user)
    }

    /// Decides a claim of one milestone.
    pub(super) fn claim_one(
        &mut self,
        item: &'b Item,
        user: &UserId,
        request: ClaimRequest<'_>,
    ) -> Outcome {
        let key = key_of(&item.work);
        if let Some(receipt) =
            self.stored_receipts(key.as_ref()).and_then(|receipts| receipts.first())
        {
            return Outcome::Claimed(receipt.clone());
        }
        let rejection = match self.claim(item, user, &request) {
            Ok(receipt) => {
                self.remember(item, key, vec![receipt.clone()]);
                return Outcome::Claimed(receipt);
            }
            Err(rejection) => rejection,
        };
        // Includes claims of periods that a later change of zone removed.
        let may_be_repeated = matches!(
            rejection,
            ClaimRejection::NothingClaimable { .. } | ClaimRejection::UnknownPeriod { .. }
        );
        if may_be_repeated
            && let (Some(period), Some(milestone)) = (request.period, request.milestone)
        {
            let (user, task, period) = (user.clone(), request.task.clone(), period.clone());
            let named = MilestoneKey { user, task, period, milestone };
            if let Some(receipt) = self.earlier_receipt(&named) {
                self.remember(item, key, vec![receipt.clone()]);
                return Outcome::Claimed(receipt);
            }
        }
        Outcome::ClaimRejected(rejection)
    }

    /// The receipt of an earlier claim of this milestone, in this batch or as loaded.
    fn earlier_receipt(&self, named: &MilestoneKey) -> Option<Receipt> {
        let is_it = |event: &Event| match event {
            Event::RewardsClaimed { task, period, milestone, .. } => {
                (task, &period.key, *milestone) == (&named.task, &named.period, named.milestone)
            }
            _ => false,
        };
        let mut events = self.decided.changes.events.iter();
        match events.find(|new| new.user == named.user && is_it(&new.event)) {
            Some(new) => {
                let position = Position { lane: new.lane, number: new.position };
                Receipt::of_event(&new.user, &new.event, position)
            }
            None => self.claimed.get(named).cloned(),
        }
    }

    /// Decides a claim of everything.
    pub(super) fn claim_everything(
        &mut self,
        item: &'b Item,
        user: &UserId,
        at: Timestamp,
    ) -> Outcome {
        let key = key_of(&item.work);
        let receipts = match self.stored_receipts(key.as_ref()).cloned() {
            Some(receipts) => receipts,
            None => {
                self.claimed_all.insert(user.clone());
                let receipts = self.claim_all(item, user, at);
                self.remember(item, key, receipts.clone());
                receipts
            }
        };
        let tasks = &self.working(item, user).loaded.state.tasks;
        let is_left = tasks.values().any(|task| !task.claimable.is_empty());
        let more = is_left || self.more_claimable.contains(user);
        Outcome::ClaimedAll { receipts, more }
    }

    /// The receipts stored under a key.
    fn stored_receipts(&self, key: Option<&ClaimKey>) -> Option<&Vec<Receipt>> {
        key.and_then(|key| self.receipts.get(key))
    }

    fn remember(&mut self, item: &Item, key: Option<ClaimKey>, receipts: Vec<Receipt>) {
        if let Some(key) = key {
            self.receipts.insert(key.clone(), receipts.clone());
            self.decided.receipts_given.push((item.lane, key, receipts));
        }
    }

    fn claim(
        &mut self,
        item: &Item,
        user: &UserId,
        request: &ClaimRequest<'_>,
    ) -> Result<Receipt, ClaimRejection> {
        self.working(item, user);
        let state = &self.users[user].loaded.state;
        let claimed = decide_claim(state, request, self.catalogue)?;
        let events = vec![claimed.clone().into()];
        let position = self.record(item, user, events, &metadata(item, None));
        Ok(Receipt::new(user, &claimed, position))
    }

    fn claim_all(&mut self, item: &Item, user: &UserId, at: Timestamp) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        let state = &self.working(item, user).loaded.state;
        let due: Vec<_> = state
            .tasks
            .iter()
            .flat_map(|(task, t)| {
                t.claimable.iter().map(|c| (task.clone(), c.period.key.clone(), c.at))
            })
            .take(CLAIM_ALL_MAX)
            .collect();
        for (task, period, milestone) in due {
            let (period, milestone) = (Some(&period), Some(milestone));
            let request = ClaimRequest { task: &task, period, milestone, at };
            receipts.extend(self.claim(item, user, &request));
        }
        receipts
    }
}
