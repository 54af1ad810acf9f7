//! Claims in a batch: what they take, and how a repeated one gets its first answer.

use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Position;
use plaudit_domain::user_tasks::{Command, Event, Rejection};
use sqlx::PgConnection;

use super::{BatchDecider, DecidedBatch, metadata};
use crate::batch::{ClaimKey, Item, Outcome, Receipt, Work};
use crate::error::ExecuteError;
use crate::reader;

/// A claim that names what it wants and found nothing.
pub(super) struct Repeated {
    /// Its place among the outcomes.
    index: usize,
    user: UserId,
    task: TaskId,
    period: String,
    milestone: i64,
    key: Option<ClaimKey>,
}

/// The idempotency key of a claim.
pub(super) fn key_of(work: &Work) -> Option<ClaimKey> {
    let (user, task, key) = match work {
        Work::Claim { user, task, idempotency_key, .. } => (user, Some(task), idempotency_key),
        Work::ClaimAll { user, idempotency_key, .. } => (user, None, idempotency_key),
        Work::Action(_) | Work::StartDeliveries { .. } | Work::Park(_) => return None,
    };
    Some(ClaimKey { user: user.clone(), task: task.cloned(), key: key.clone()? })
}

impl<'b> BatchDecider<'_, 'b> {
    /// Answers a claim of one milestone.
    pub(super) fn claim_one(
        &mut self,
        item: &'b Item,
        user: &UserId,
        command: &Command,
    ) -> Outcome {
        let key = key_of(&item.work);
        if let Some(receipt) =
            self.stored_receipts(key.as_ref()).and_then(|receipts| receipts.first())
        {
            return Outcome::Claimed(receipt.clone());
        }
        let rejection = match self.claim(item, user, command) {
            Ok(receipt) => {
                self.remember(item, key, vec![receipt.clone()]);
                return Outcome::Claimed(receipt);
            }
            Err(rejection) => rejection,
        };
        // The log knows claims of periods, too, that a later change of zone took away.
        let may_be_repeated = matches!(
            rejection,
            Rejection::NothingClaimable { .. } | Rejection::UnknownPeriod { .. }
        );
        if may_be_repeated
            && let Command::ClaimRewards { task, period, milestone, .. } = command
            && let (Some(period), Some(milestone)) = (period, milestone)
        {
            self.decided.repeated.push(Repeated {
                index: self.decided.outcomes.len(),
                user: user.clone(),
                task: task.clone(),
                period: period.to_string(),
                milestone: *milestone,
                key,
            });
        }
        Outcome::Rejected(rejection)
    }

    /// Answers a claim of everything.
    pub(super) fn claim_everything(
        &mut self,
        item: &'b Item,
        user: &UserId,
        at: Timestamp,
    ) -> Outcome {
        let key = key_of(&item.work);
        if let Some(receipts) = self.stored_receipts(key.as_ref()) {
            return Outcome::ClaimedAll(receipts.clone());
        }
        let receipts = self.claim_all(item, user, at);
        self.remember(item, key, receipts.clone());
        Outcome::ClaimedAll(receipts)
    }

    /// What was answered under a key.
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
        command: &Command,
    ) -> Result<Receipt, Rejection> {
        let events = self.decide(item, user, command)?.events;
        let claimed = events.first().cloned();
        let place = self.record(item, user, events, &metadata(item, None));
        let receipt = claimed.as_ref().and_then(|event| Receipt::new(user, event, place));
        Ok(receipt.expect("a claim that is not rejected gives what it took"))
    }

    fn claim_all(&mut self, item: &Item, user: &UserId, at: Timestamp) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        let state = &self.working(item, user).loaded.state;
        let due: Vec<_> = state
            .tasks
            .iter()
            .flat_map(|(task, t)| {
                t.unsettled.iter().map(|u| (task.clone(), u.period.key.clone(), u.at))
            })
            .collect();
        for (task, period, milestone) in due {
            let command = Command::ClaimRewards {
                user: user.clone(),
                task,
                period: Some(period),
                milestone: Some(milestone),
                claimed_at: at,
            };
            receipts.extend(self.claim(item, user, &command));
        }
        receipts
    }
}

impl DecidedBatch<'_> {
    /// Answers claims that repeat an earlier one: of this batch, or by the log, which is never behind.
    pub async fn find_earlier_receipts(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), ExecuteError> {
        for repeated in std::mem::take(&mut self.repeated) {
            let lane = self.outcomes[repeated.index].0;
            let Repeated { user, task, period, milestone, .. } = &repeated;
            let found = match self.claim_of_this_batch(user, task, period, *milestone) {
                Some(receipt) => Some(receipt),
                None => {
                    reader::earlier_claim(lane, user, task, period, *milestone, connection).await?
                }
            };
            if let Some(receipt) = found {
                let kept = repeated.key.map(|key| (lane, key, vec![receipt.clone()]));
                self.receipts_given.extend(kept);
                self.outcomes[repeated.index].1 = Outcome::Claimed(receipt);
            }
        }
        Ok(())
    }

    /// The receipt of a claim that this batch itself honours, and has not written yet.
    fn claim_of_this_batch(
        &self,
        user: &UserId,
        task: &TaskId,
        period: &str,
        milestone: i64,
    ) -> Option<Receipt> {
        let is_it = |event: &Event| match event {
            Event::RewardsClaimed { task: t, period: p, milestone: m, .. } => {
                t == task && p.key.as_str() == period && *m == milestone
            }
            _ => false,
        };
        let new = self.changes.events.iter().find(|new| new.user == *user && is_it(&new.event))?;
        Receipt::new(user, &new.event, Position { lane: new.lane, number: new.position })
    }
}
