//! Claims in a batch: the milestones they take, and the receipts for repeated requests.

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{ClaimRejection, ClaimRequest, Event, decide_claim};

use super::{BatchDecider, CLAIM_ALL_MAX, metadata};
use crate::batch::{
    Claim, ClaimAll, ClaimAnswer, ClaimKey, ClaimedAll, Decide, Item, NotApplied, Receipt, Work,
};
use crate::rewards::claimable::MilestoneKey;
use crate::states::truncate_to_micros;

impl Claim {
    /// The idempotency key, if the claim has one.
    pub(super) fn key(&self) -> Option<ClaimKey> {
        let (user, task) = (self.user.clone(), Some(self.task.clone()));
        Some(ClaimKey { user, task, key: self.idempotency_key.clone()? })
    }
}

impl ClaimAll {
    /// The idempotency key, if the claim has one.
    pub(super) fn key(&self) -> Option<ClaimKey> {
        Some(ClaimKey { user: self.user.clone(), task: None, key: self.idempotency_key.clone()? })
    }
}

impl<'b> Decide<'b, Claim> for BatchDecider<'_, 'b> {
    fn answer(&mut self, item: &'b Item, claim: &'b Claim) -> Result<ClaimAnswer, NotApplied> {
        self.readable(item, &claim.user)?;
        Ok(match self.claim_one(item, claim) {
            Ok(receipt) => ClaimAnswer::Claimed(receipt),
            Err(rejection) => ClaimAnswer::Rejected(rejection),
        })
    }
}

impl<'b> Decide<'b, ClaimAll> for BatchDecider<'_, 'b> {
    fn answer(&mut self, item: &'b Item, claim: &'b ClaimAll) -> Result<ClaimedAll, NotApplied> {
        self.readable(item, &claim.user)?;
        Ok(self.claim_everything(item, claim))
    }
}

impl BatchDecider<'_, '_> {
    /// True if the item claims everything of a user whose loaded milestones an earlier item has
    /// already claimed. Such an item belongs into the next transaction, which loads the rest.
    pub(super) fn lacks_claimable_of(&self, item: &Item) -> bool {
        let Work::ClaimAll(ClaimAll { user, .. }) = &item.work else { return false };
        self.claimed_all.contains(user) && self.more_claimable.contains(user)
    }

    /// Decides a claim of one milestone.
    fn claim_one(&mut self, item: &Item, claim: &Claim) -> Result<Receipt, ClaimRejection> {
        let (user, key) = (&claim.user, claim.key());
        let (task, period) = (&claim.task, claim.period.as_ref());
        let (milestone, at) = (claim.milestone, truncate_to_micros(claim.at));
        let request = ClaimRequest { task, period, milestone, at };
        if let Some(receipt) =
            self.stored_receipts(key.as_ref()).and_then(|receipts| receipts.first())
        {
            return Ok(receipt.clone());
        }
        let rejection = match self.claim(item, user, &request) {
            Ok(receipt) => {
                self.remember(item, key, vec![receipt.clone()]);
                return Ok(receipt);
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
                return Ok(receipt);
            }
        }
        Err(rejection)
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
    fn claim_everything(&mut self, item: &Item, claim: &ClaimAll) -> ClaimedAll {
        let (user, key) = (&claim.user, claim.key());
        let receipts = match self.stored_receipts(key.as_ref()).cloned() {
            Some(receipts) => receipts,
            None => {
                self.claimed_all.insert(user.clone());
                let receipts = self.claim_all(item, user, truncate_to_micros(claim.at));
                self.remember(item, key, receipts.clone());
                receipts
            }
        };
        let tasks = &self.working(item, user).loaded.state.tasks;
        let is_left = tasks.values().any(|task| !task.claimable.is_empty());
        let more = is_left || self.more_claimable.contains(user);
        ClaimedAll { receipts, more }
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
