//! Parks records, and applies operators' decisions about them.

use std::borrow::Cow;

use plaudit_domain::user_tasks::decide_parked_resolution;

use super::BatchDecider;
use super::metadata::metadata;
use crate::batch::{
    ActionAnswer, Decide, Item, NotApplied, ParkedRecord, ResolveAnswer, ResolveParked,
};
use crate::parked::NewlyParked;
use crate::seen_actions::NewlySeen;

impl<'b> BatchDecider<'_, 'b> {
    /// Parks a record. `waiting`: only because an earlier record of its user is parked.
    pub(super) fn park(
        &mut self,
        item: &'b Item,
        record: Cow<'b, ParkedRecord>,
        waiting: bool,
    ) -> ActionAnswer {
        let (id, reason) = (record.id, record.reason.clone());
        if let Some(user) = record.user.as_ref().filter(|_| record.repairable) {
            self.parked_queues.add(user, id);
        }
        let (lane, origin) = (item.lane, &item.origin);
        self.decided.parked.push(NewlyParked { lane, origin, record, waiting });
        ActionAnswer::Parked { id, reason }
    }

    /// Releases or discards a parked record. If a release fails, the record stays parked; actions
    /// that were applied are duplicates at the next release.
    fn resolve_parked(&mut self, item: &'b Item, resolved: &'b ResolveParked) -> ResolveAnswer {
        let ResolveParked { decision, user, actions } = resolved;
        let id = decision.parked;
        let Some(repairable) = self.parked_queues.unresolved(id) else {
            return ResolveAnswer::NotParked;
        };
        let first = user.as_ref().and_then(|user| self.parked_queues.first_of(user));
        if let Some(first) = first.filter(|first| repairable && *first != id) {
            return ResolveAnswer::Behind(first);
        }
        if let Some(reason) = user.as_ref().and_then(|user| self.fault(item, user)) {
            return ResolveAnswer::StaysParked(format!("nothing can be decided: {reason}"));
        }
        let (mut applied, mut duplicates) = (0, 0);
        for action in actions {
            let identity = action.identity();
            if !self.seen.insert(identity) {
                self.repeated(item, action);
                duplicates += 1;
                continue;
            }
            let sequence = match self.apply(item, action) {
                Ok(sequence) => sequence,
                Err(reason) => {
                    self.seen.remove(&identity);
                    return ResolveAnswer::StaysParked(reason);
                }
            };
            self.decided.newly_seen.push(NewlySeen { lane: item.lane, identity, sequence });
            applied += 1;
        }
        if let Some(user) = user {
            let resolution = decide_parked_resolution(decision);
            self.record(item, user, vec![resolution], &metadata(item, None));
        }
        self.parked_queues.remove(user.as_ref(), id);
        self.decided.parked_resolved.push((item.lane, decision));
        ResolveAnswer::Resolved { applied, duplicates }
    }
}

impl<'b> Decide<'b, ResolveParked> for BatchDecider<'_, 'b> {
    fn answer(
        &mut self,
        item: &'b Item,
        resolved: &'b ResolveParked,
    ) -> Result<ResolveAnswer, NotApplied> {
        Ok(self.resolve_parked(item, resolved))
    }
}
