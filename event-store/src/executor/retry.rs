//! State carried from one attempt at a part to the next.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff};
use plaudit_domain::catalogue::BudgetKey;
use sqlx::PgPool;

use super::decide::{Limits, Seeds};
use super::{Failed, Part};
use crate::batch::{
    ActionAnswer, Answer, Applied, ClaimAnswer, ClaimedAll, Item, PastAnswer, Receipt,
    ReleaseAnswer, ResolveAnswer, Settled, Work,
};
use crate::error::ExecuteError;
use crate::pool;

/// The maximum number of attempts before the sender hears that the database is not available.
const ATTEMPTS_MAX: usize = 6;

/// The number of lost connections after which a part of several records is halved.
const LOST_BEFORE_HALVING: usize = 2;

/// The number of lost connections after which a single record is parked, if the database answers
/// others.
const LOST_BEFORE_PARKING: usize = 5;

/// Time limit for the database to show that it is alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(3);

/// State carried from one attempt to the next.
pub(super) struct RetryState<'b> {
    items: Cow<'b, [Item]>,
    part: Part<'b>,
    backoff: ExponentialBackoff,
    /// The answers of the part if a commit was sent: it may have taken effect.
    unconfirmed: Option<Vec<Applied>>,
    /// Set after an append met an unknown sequence, so that states may be behind the log.
    refold_all: bool,
    connections_lost: usize,
    /// The windows used up by other batches. The next attempt locks them before it decides.
    lock_budgets: Option<BTreeSet<BudgetKey>>,
    seeds: Seeds,
}

impl<'b> RetryState<'b> {
    pub fn new(part: Part<'b>) -> Self {
        let backoff = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(500))
            .with_jitter()
            .with_max_times(ATTEMPTS_MAX - 1);
        Self {
            items: Cow::Borrowed(part.items),
            part,
            backoff: backoff.build(),
            unconfirmed: None,
            refold_all: false,
            connections_lost: 0,
            lock_budgets: None,
            seeds: Seeds::random(),
        }
    }

    /// The part for the next attempt.
    pub fn part(&self) -> Part<'_> {
        Part { items: &self.items, checkpoints: self.part.checkpoints }
    }

    /// Limits on how much of the part to decide.
    pub fn limits(&self) -> Limits {
        // A follower's checkpoints cover all of its items, and the follower bounds their number.
        let whole = self.unconfirmed.is_some() || !self.part.checkpoints.is_empty();
        if whole { Limits::NONE } else { Limits::DEFAULT }
    }

    /// True if all states are to be folded from the log.
    pub fn refold_all(&self) -> bool {
        self.refold_all
    }

    /// Budgets to lock before deciding, in addition to those that the items are known to need.
    pub fn lock_budgets(&self) -> Option<&BTreeSet<BudgetKey>> {
        self.lock_budgets.as_ref()
    }

    /// The seeds of all attempts.
    pub fn seeds(&self) -> Seeds {
        self.seeds
    }

    /// Returns the final answers of a part whose commit is certain.
    pub fn settled(self, applied: Vec<Applied>) -> Vec<Applied> {
        settle(self.unconfirmed, applied)
    }

    /// Waits for the next attempt, or gives up.
    ///
    /// # Errors
    ///
    /// The error of the attempt if a retry would not help; [`ExecuteError::Refused`] if the part
    /// should be halved.
    pub async fn after(
        &mut self,
        failed: Failed,
        unconfirmed: Option<Vec<Applied>>,
        pool: &PgPool,
    ) -> Result<(), ExecuteError> {
        let Failed { error, connection_lost } = failed;
        if let ExecuteError::BudgetTaken(keys) = &error
            && self.add_budgets(keys)
        {
            metrics::counter!("plaudit_batch_retries_total").increment(1);
            return Ok(());
        }
        let cause = match error {
            ExecuteError::Unavailable(cause) => cause,
            // The answers of a commit that may have taken effect are kept, and the same items are
            // tried again.
            ExecuteError::LanesBusy(contention) if self.unconfirmed.is_some() => {
                let delay = self.backoff.next().ok_or(ExecuteError::LanesBusy(contention))?;
                tokio::time::sleep(delay).await;
                return Ok(());
            }
            error => return Err(error),
        };
        // A commit that was sent may have taken effect. If it did, the next attempt sees its
        // effects, and the answers noted here are the true ones.
        if let Some(sent) = unconfirmed {
            // The next attempt must have exactly the same items, so that the answers can be
            // compared.
            let items = self.items.to_mut();
            items.truncate(sent.len());
            name_what_was_claimed(items, &sent);
            // The attempt before may have been committed too, and its effects seen by this one.
            self.unconfirmed = Some(settle(self.unconfirmed.take(), sent));
        }
        self.refold_all |= is_taken(&cause);
        self.connections_lost += usize::from(connection_lost);
        metrics::counter!("plaudit_batch_retries_total").increment(1);
        tracing::debug!(error = %cause, "a batch is tried again");
        // A part whose commit may have taken effect is not halved, since its answers are merged as
        // a whole.
        if self.is_divisible() && self.connections_lost >= LOST_BEFORE_HALVING {
            return Err(ExecuteError::Refused(cause));
        }
        match self.backoff.next() {
            Some(delay) => tokio::time::sleep(delay).await,
            None if self.connections_lost >= LOST_BEFORE_PARKING && is_alive(pool).await => {
                return Err(ExecuteError::Refused(cause));
            }
            None => return Err(ExecuteError::Unavailable(cause)),
        }
        Ok(())
    }

    /// Adds windows to lock before the next attempt. Returns false if all of them were locked in
    /// this one. Other totals may lead to other budgets, so this may happen once for each.
    fn add_budgets(&mut self, keys: &BTreeSet<BudgetKey>) -> bool {
        let known = self.lock_budgets.get_or_insert_default();
        let before = known.len();
        known.extend(keys.iter().cloned());
        known.len() > before
    }

    fn is_divisible(&self) -> bool {
        self.unconfirmed.is_none()
            && self.part.checkpoints.is_empty()
            && super::bisect::record_boundary(&self.items).is_some()
    }
}

/// True if the database answers on another connection.
async fn is_alive(pool: &PgPool) -> bool {
    let asked = sqlx::query("select 1").execute(pool);
    pool::within(ALIVE_WITHIN, asked).await.is_ok()
}

/// True if an append found a sequence taken, although its lane was held.
fn is_taken(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.is_unique_violation())
}

/// Makes a claim without a named milestone name the one that it may have taken. A retry must claim
/// the same milestone, not the next one.
fn name_what_was_claimed(items: &mut [Item], sent: &[Applied]) {
    for (item, applied) in items.iter_mut().zip(sent) {
        if let (Work::Claim(claim), Answer::Claim(Ok(ClaimAnswer::Claimed(receipt)))) =
            (&mut item.work, &applied.answer)
        {
            claim.period = Some(receipt.period.clone());
            claim.milestone = Some(receipt.milestone);
        }
    }
}

/// Merges the answers of a commit that was not confirmed with those of the attempt after it: an
/// action that is a duplicate of itself was accepted, and milestones claimed by the first stay
/// claimed.
fn settle(before: Option<Vec<Applied>>, now: Vec<Applied>) -> Vec<Applied> {
    let Some(before) = before else { return now };
    let merged = |(before, now): (Applied, Applied)| Applied {
        answer: merge(before.answer, now.answer),
        position: now.position,
    };
    before.into_iter().zip(now).map(merged).collect()
}

fn merge(before: Answer, now: Answer) -> Answer {
    match (before, now) {
        (Answer::Incoming(before), Answer::Incoming(now)) => {
            Answer::Incoming(merge_actions(before, now))
        }
        (
            before @ Answer::CountPast(Ok(PastAnswer::Moved | PastAnswer::Unmoved)),
            Answer::CountPast(Ok(PastAnswer::Known | PastAnswer::Unmoved)),
        )
        | (
            before @ Answer::ReleaseBackfill(Ok(ReleaseAnswer::Granted)),
            Answer::ReleaseBackfill(Ok(ReleaseAnswer::NothingHeld)),
        )
        | (
            before @ Answer::Claim(Ok(ClaimAnswer::Claimed(_))),
            Answer::Claim(Ok(ClaimAnswer::Rejected(_))),
        )
        | (
            before @ Answer::ResolveParked(Ok(ResolveAnswer::Resolved { .. })),
            Answer::ResolveParked(Ok(ResolveAnswer::NotParked)),
        )
        | (before @ Answer::Settle(Ok(_)), Answer::Settle(Ok(Settled { events: 0 }))) => before,
        (Answer::ClaimAll(Ok(before)), Answer::ClaimAll(Ok(now))) => {
            Answer::ClaimAll(Ok(merge_claims(before.receipts, now)))
        }
        (_, now) => now,
    }
}

fn merge_actions(before: ActionAnswer, now: ActionAnswer) -> ActionAnswer {
    match (&before, &now) {
        (ActionAnswer::Accepted, ActionAnswer::Duplicate)
        | (ActionAnswer::Accepted | ActionAnswer::Parked { .. }, ActionAnswer::AlreadyApplied) => {
            before
        }
        _ => now,
    }
}

/// Returns the receipts of both attempts, each once.
fn merge_claims(mut receipts: Vec<Receipt>, now: ClaimedAll) -> ClaimedAll {
    let is_new = |r: &Receipt| {
        !receipts
            .iter()
            .any(|t| (&t.task, &t.period, t.milestone) == (&r.task, &r.period, r.milestone))
    };
    let new: Vec<_> = now.receipts.into_iter().filter(is_new).collect();
    receipts.extend(new);
    ClaimedAll { receipts, more: now.more }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
