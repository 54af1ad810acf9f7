//! The one transaction: lock lanes, load states, decide, append, save, project, commit.

mod generations;
mod judge;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder;
use plaudit_domain::lane::{Lane, LaneCount, Position};
use sqlx::{PgConnection, PgPool};

use crate::batch::{
    Applied, Batch, BatchProjection, Item, Origin, Outcome, ParkedRecord, Receipt, Work,
};
use crate::catalogue_store::CatalogueStore;
use crate::error::ExecuteError;
use crate::{append, lanes, load};
use generations::Generations;
use judge::Judged;

/// Applies batches. Safe to drop at any await: what was not committed is not there, and what was
/// committed is recognised when the batch is sent again.
pub struct Executor {
    pool: PgPool,
    lane_count: LaneCount,
    catalogue: Arc<CatalogueStore>,
    projections: Vec<Arc<dyn BatchProjection>>,
    generations: Generations,
}

/// How often a batch is tried before its sender is told that the database is not available.
const ATTEMPTS_MAX: usize = 6;

/// How long one attempt may take. The database ends waits for locks and idle transactions before; this
/// is for one that is gone without a word.
const ATTEMPT_MAX: Duration = Duration::from_secs(90);

/// What an attempt learns from those before it.
#[derive(Default)]
struct Earlier {
    /// What the batch answers if a commit was sent: it may have happened.
    sent: Option<Vec<Applied>>,
    /// A sequence was taken that the state did not know of, so states may be behind the log.
    suspicious: bool,
}

impl Executor {
    /// An executor over a pool whose connections were set up by [`schema::connect`].
    pub fn new(
        pool: PgPool,
        lane_count: LaneCount,
        catalogue: Arc<CatalogueStore>,
        projections: Vec<Arc<dyn BatchProjection>>,
    ) -> Self {
        let generations = Generations::new(pool.clone());
        Self { pool, lane_count, catalogue, projections, generations }
    }

    /// How many lanes the database has.
    pub fn lane_count(&self) -> LaneCount {
        self.lane_count
    }

    /// The catalogue that judges, as this process last saw it.
    pub fn catalogue(&self) -> &Arc<CatalogueStore> {
        &self.catalogue
    }

    /// Applies a batch in one transaction and answers item by item.
    ///
    /// A conflict or a lost connection is tried again. An item that the database or the rules
    /// can't take is found by halving the batch, and set aside; the others are applied, which is
    /// the only case in which a batch takes more than one transaction.
    pub async fn execute(&self, batch: &Batch) -> Result<Vec<Applied>, ExecuteError> {
        let refused = match self.execute_whole(batch).await {
            Err(ExecuteError::Refused(error)) if batch.checkpoints.is_empty() => error,
            outcome => return outcome,
        };
        let mut applied = Vec::with_capacity(batch.items.len());
        // Parts still to apply, the first one on top.
        let mut parts = vec![batch.clone()];
        let mut why = refused;
        while let Some(mut part) = parts.pop() {
            match self.execute_whole(&part).await {
                Ok(done) => applied.extend(done),
                Err(ExecuteError::Refused(error)) => {
                    why = error;
                    if let Some(at) = record_boundary(&part.items) {
                        let items = part.items.split_off(at);
                        parts.push(Batch { items, checkpoints: vec![] });
                        parts.push(part);
                    } else {
                        let reason = format!("the database refused it: {why}");
                        let mut items = Vec::with_capacity(part.items.len());
                        for item in part.items {
                            match set_aside(item, &reason)? {
                                SetAside::Kept(item) => items.push(*item),
                                SetAside::Failed(failed) => applied.push(failed),
                            }
                        }
                        if !items.is_empty() {
                            parts.push(Batch { items, checkpoints: vec![] });
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        tracing::warn!(error = %why, "a batch was refused as a whole and applied in parts");
        Ok(applied)
    }

    /// Tries a batch until it is committed, or the attempts are used up.
    async fn execute_whole(&self, batch: &Batch) -> Result<Vec<Applied>, ExecuteError> {
        let backoff = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(5))
            .with_max_delay(Duration::from_millis(500))
            .with_jitter()
            .with_max_times(ATTEMPTS_MAX - 1);
        let mut backoff = backoff.build();
        let mut earlier = Earlier::default();
        let mut batch = Cow::Borrowed(batch);
        loop {
            let mut sent = None;
            let attempt = self.attempt(&batch, earlier.suspicious, &mut sent);
            let attempted = match tokio::time::timeout(ATTEMPT_MAX, attempt).await {
                Ok(attempted) => attempted,
                Err(_) => Err(no_answer()),
            };
            match attempted {
                Ok(applied) => return Ok(settle(earlier.sent, applied)),
                Err(error) if error.is_transient() => {
                    // A commit that was sent may have happened: then the next attempt sees its
                    // effects, and what it answered is the truth.
                    if let Some(sent) = sent {
                        name_what_was_claimed(batch.to_mut(), &sent);
                        // The one before may have happened too, and this one seen its effects.
                        earlier.sent = Some(settle(earlier.sent.take(), sent));
                    }
                    earlier.suspicious |= is_taken(&error);
                    metrics::counter!("plaudit_batch_retries_total").increment(1);
                    tracing::debug!(%error, "a batch is tried again");
                    match backoff.next() {
                        Some(delay) => tokio::time::sleep(delay).await,
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One transaction. `sent` is what the batch answers if its commit was sent.
    async fn attempt(
        &self,
        batch: &Batch,
        suspicious: bool,
        sent: &mut Option<Vec<Applied>>,
    ) -> Result<Vec<Applied>, ExecuteError> {
        self.generations.before_the_first_batch().await?;
        let mut tx = self.pool.begin().await?;
        let judged = self.judge(batch, suspicious, &mut tx).await?;
        self.write(&judged, &batch.checkpoints, &mut tx).await?;
        let applied = judged.applied();
        *sent = Some(applied.clone());
        tx.commit().await.map_err(|error| {
            // Whatever the code: after a failed commit only the next attempt tells.
            tracing::debug!(%error, "a commit was not answered");
            ExecuteError::Unavailable(error)
        })?;
        judged.count();
        Ok(applied)
    }

    /// Locks, loads, decides.
    async fn judge<'b>(
        &self,
        batch: &'b Batch,
        suspicious: bool,
        tx: &mut PgConnection,
    ) -> Result<Judged<'b>, ExecuteError> {
        let lanes: BTreeSet<Lane> = batch
            .items
            .iter()
            .map(|item| item.lane)
            .chain(batch.checkpoints.iter().map(|step| step.lane))
            .collect();
        let locked = lanes::lock(&lanes, tx).await?;
        self.generations.running(locked.generation);
        let catalogue = self.catalogue.at_revision(locked.catalogue_revision, tx).await?;
        let wanted = judge::Wanted::of(&batch.items);
        let outside =
            locked.heads.iter().filter(|(_, head)| head.written_outside).map(|(lane, _)| *lane);
        let outside: BTreeSet<Lane> = outside.collect();
        let suspect = if suspicious { load::Suspect::All } else { load::Suspect::Lanes(&outside) };
        let loaded = judge::Loaded {
            states: load::states(&wanted.users, suspect, tx).await?,
            seen: load::seen(&wanted.identities, locked.generation, tx).await?,
            offsets: load::offsets(&wanted.sources, tx).await?,
            receipts: load::receipts(&wanted.keys, tx).await?,
        };
        let mut judged = judge::judge(&batch.items, locked, loaded, &catalogue);
        judged.find_earlier_receipts(tx).await?;
        Ok(judged)
    }

    /// Writes what was decided, read models included.
    async fn write(
        &self,
        judged: &Judged<'_>,
        checkpoints: &[crate::batch::CheckpointMove],
        tx: &mut PgConnection,
    ) -> Result<(), ExecuteError> {
        append::events(&judged.changes.events, tx).await?;
        append::states(&judged.changes.users, tx).await?;
        append::seen(&judged.newly_seen, judged.generation, tx).await?;
        append::offsets(&judged.offsets_moved, tx).await?;
        append::parked(&judged.parked, tx).await?;
        append::receipts(&judged.receipts_given, tx).await?;
        append::checkpoints(checkpoints, tx).await?;
        if !judged.changes.users.is_empty() {
            for projection in &self.projections {
                projection.apply(&judged.changes, tx).await?;
            }
        }
        lanes::close(&judged.heads, tx).await?;
        Ok(())
    }

    /// The head of a lane: the position of its last committed event.
    pub async fn head(&self, lane: Lane) -> Result<Position, ExecuteError> {
        let next: i64 = sqlx::query_scalar("select next_position from lanes where lane = $1")
            .bind(lane.0)
            .fetch_one(&self.pool)
            .await?;
        Ok(Position { lane, number: next - 1 })
    }
}

fn no_answer() -> ExecuteError {
    let text = format!("no answer within {} s", ATTEMPT_MAX.as_secs());
    let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
    ExecuteError::Unavailable(sqlx::Error::Io(error))
}

/// Whether an append found a sequence taken, although its lane was held.
fn is_taken(error: &ExecuteError) -> bool {
    let ExecuteError::Unavailable(sqlx::Error::Database(error)) = error else { return false };
    error.is_unique_violation()
}

/// A claim that named nothing took something, perhaps: sent again, it must take the same, and not
/// what comes next.
fn name_what_was_claimed(batch: &mut Batch, sent: &[Applied]) {
    for (item, applied) in batch.items.iter_mut().zip(sent) {
        if let (Work::Claim { period, milestone, .. }, Outcome::Claimed(receipt)) =
            (&mut item.work, &applied.outcome)
        {
            *period = Some(receipt.period.clone());
            *milestone = Some(receipt.milestone);
        }
    }
}

/// Merges what an unanswered commit would have answered with what the attempt after it saw: an
/// action that is a duplicate of itself was accepted, what a claim of everything took stays taken.
fn settle(before: Option<Vec<Applied>>, now: Vec<Applied>) -> Vec<Applied> {
    let Some(before) = before else { return now };
    let merge = |(before, now): (Applied, Applied)| match (before.outcome, now.outcome) {
        (before @ Outcome::Accepted, Outcome::Duplicate)
        | (before @ (Outcome::Accepted | Outcome::Parked { .. }), Outcome::AlreadyApplied)
        | (before @ Outcome::Claimed(_), Outcome::Rejected(_)) => {
            Applied { outcome: before, position: now.position }
        }
        (Outcome::ClaimedAll(mut taken), Outcome::ClaimedAll(more)) => {
            let is_new = |r: &Receipt| {
                !taken
                    .iter()
                    .any(|t| (&t.task, &t.period, t.milestone) == (&r.task, &r.period, r.milestone))
            };
            let new: Vec<_> = more.into_iter().filter(is_new).collect();
            taken.extend(new);
            Applied { outcome: Outcome::ClaimedAll(taken), position: now.position }
        }
        (_, outcome) => Applied { outcome, position: now.position },
    };
    before.into_iter().zip(now).map(merge).collect()
}

/// Where to halve items: near the middle, and never inside what one record means, since a lane's
/// offset moves past a record as a whole. `None` if they are one record, or one item.
fn record_boundary(items: &[Item]) -> Option<usize> {
    let middle = items.len() / 2;
    let parts_records = |at: &usize| match (&items[at - 1].origin, &items[*at].origin) {
        (Origin::Record(before), Origin::Record(after)) => before != after,
        _ => true,
    };
    let nearest = |at: &usize| at.abs_diff(middle);
    (1..items.len()).filter(parts_records).min_by_key(nearest)
}

/// What becomes of an item that can't be applied.
enum SetAside {
    /// It is kept with its reason.
    Kept(Box<Item>),
    /// There is nothing to keep: whoever sent it is told, and may send it again.
    Failed(Applied),
}

/// Turns an item that can't be applied into one that sets it aside.
fn set_aside(item: Item, reason: &str) -> Result<SetAside, ExecuteError> {
    let record = match &item.work {
        Work::Action(action) => ParkedRecord::of_action(action, reason, true),
        // Even setting it aside was refused: its headers are what the database can't take.
        Work::Park(record) if record.headers != serde_json::json!({}) => ParkedRecord {
            reason: reason.to_owned(),
            headers: serde_json::json!({}),
            ..record.clone()
        },
        Work::Park(_) => return Err(ExecuteError::Unreadable(reason.to_owned())),
        Work::Claim { .. } | Work::ClaimAll { .. } | Work::StartDeliveries { .. } => {
            tracing::error!(reason, "a command was refused by the database");
            let position = Position { lane: item.lane, number: 0 };
            let outcome = Outcome::Failed(reason.to_owned());
            return Ok(SetAside::Failed(Applied { outcome, position }));
        }
    };
    Ok(SetAside::Kept(Box::new(Item { work: Work::Park(record), ..item })))
}

#[cfg(test)]
mod tests;
