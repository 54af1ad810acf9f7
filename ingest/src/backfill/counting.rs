//! Reads the planned records and counts the actions in them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_actions::formats::Unavailable;
use plaudit_actions::record::OwnedRecord;
use plaudit_actions::sources::{Mapped, Sources};
use plaudit_domain::action::Action;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_event_store::backfills::lease::{Counts, Lease};
use plaudit_event_store::backfills::{self, BackfillPartition};
use plaudit_event_store::{
    Applied, CountPast, Item, NotApplied, Origin, ParkedRecord, PastAnswer, SourcePosition, sources,
};

use super::reader::{Chunk, Reader};
use super::{BackfillWorker, StopReason, go_on};
use crate::mapped_room::past_bytes;
use crate::route::{lane_of_partition, parked_id};

/// About the most bytes of memory that the items of a chunk take that are applied at once.
const PORTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The filter for past actions: which of a record's actions the task may count.
struct PastFilter {
    task: TaskId,
    from: jiff::Timestamp,
    catalogue: Arc<Catalogue>,
    sources: Arc<Sources>,
    lane_count: LaneCount,
}

impl BackfillWorker {
    /// Reads and counts until the plan is done or a step fails.
    pub(super) async fn count(&self, lease: &Lease) -> Result<(), StopReason> {
        let partitions = self.still_there(lease).await?;
        let options = Arc::clone(&self.options);
        let mut reader =
            blocking(move || Reader::open(&options, partitions).map_err(StopReason::Stuck))
                .await??;
        while !reader.is_done() {
            let began = Instant::now();
            let (read, chunk) = blocking(move || {
                let chunk = reader.read().map_err(StopReason::Stuck)?;
                Ok::<_, StopReason>((reader, chunk))
            })
            .await??;
            reader = read;
            let records = chunk.records.len();
            self.count_chunk(lease, chunk).await?;
            self.throttle(records, began).await?;
        }
        self.database.call(|pool| async move { lease.finish(&pool).await }).await?;
        remaining(lease, 0);
        Ok(())
    }

    /// Returns the partitions with their progress. If a topic was created again, the unread records
    /// of its old incarnation are gone and count as lost.
    async fn still_there(&self, lease: &Lease) -> Result<Vec<BackfillPartition>, StopReason> {
        let partitions = |pool| async move { backfills::partitions(&pool, &lease.task).await };
        let mut partitions = self.database.call(partitions).await?;
        let mut is_changed = false;
        for p in &mut partitions {
            let left = p.end_offset - p.next_offset;
            if left > 0 && self.incarnation(&p.topic).await? != p.incarnation {
                p.lost += left;
                p.next_offset = p.end_offset;
                is_changed = true;
            }
        }
        if is_changed {
            self.advance(lease, &partitions, Counts::default()).await?;
        } else {
            // Another attempt is no progress: a backfill that can't continue is warned of.
            self.renew(lease).await?;
        }
        Ok(partitions)
    }

    async fn incarnation(&self, topic: &str) -> Result<i32, StopReason> {
        let read = |pool| async move { sources::incarnation(&pool, topic).await };
        Ok(self.database.call(read).await?)
    }

    /// Records the progress of partitions and adds to the counts.
    async fn advance(
        &self,
        lease: &Lease,
        partitions: &[BackfillPartition],
        counts: Counts,
    ) -> Result<(), StopReason> {
        let advance = |pool| async move { lease.advance(&pool, partitions, counts).await };
        go_on(lease, self.database.call(advance).await?)
    }

    fn filter(&self, lease: &Lease) -> PastFilter {
        PastFilter {
            task: lease.task.clone(),
            from: lease.from,
            catalogue: self.queue.catalogue().current(),
            sources: Arc::clone(&self.sources.borrow()),
            lane_count: self.queue.lane_count(),
        }
    }

    /// Applies the actions of a chunk in portions, then records its progress.
    async fn count_chunk(&self, lease: &Lease, chunk: Chunk) -> Result<(), StopReason> {
        let Chunk { records, partitions } = chunk;
        let records_count = records.len();
        let mut counts = Counts::default();
        if let Err(reason) = self.count_records(lease, records.into_iter(), &mut counts).await {
            self.keep_counts(lease, counts).await;
            return Err(reason);
        }
        let records = u64::try_from(records_count).unwrap_or(0);
        metrics::counter!("plaudit_backfill_records_total").increment(records);
        let left = partitions.iter().map(|p| p.end_offset - p.next_offset).sum();
        remaining(lease, left);
        // Without records or a new position there is no progress to record.
        if records == 0 && left > 0 {
            return self.renew(lease).await;
        }
        self.advance(lease, &partitions, counts).await
    }

    async fn count_records(
        &self,
        lease: &Lease,
        mut records: Records,
        counts: &mut Counts,
    ) -> Result<(), StopReason> {
        let filter = Arc::new(self.filter(lease));
        while records.len() > 0 {
            let filter = Arc::clone(&filter);
            let (rest, items) = blocking(move || filter.portion(records)).await??;
            records = rest;
            self.count_portion(lease, items, counts).await?;
        }
        Ok(())
    }

    /// Stores the counts of a chunk that failed half-way, without its progress. The chunk is read
    /// again, and all its actions are then counted as unmoved or failed. Only the other counts
    /// would be missing, so only they are stored.
    async fn keep_counts(&self, lease: &Lease, Counts { moved, reversed, .. }: Counts) {
        let counts = Counts { moved, reversed, ..Counts::default() };
        if counts != Counts::default()
            && let Err(reason) = self.advance(lease, &[], counts).await
        {
            tracing::debug!(?reason, "the counts of a part of a chunk are not stored");
        }
    }

    async fn count_portion(
        &self,
        lease: &Lease,
        items: Vec<Item<CountPast>>,
        counts: &mut Counts,
    ) -> Result<(), StopReason> {
        let places: Vec<SourcePosition> = items.iter().filter_map(place_of).collect();
        let applied = self.apply(lease, items).await?;
        for (Applied { answer, .. }, at) in applied.iter().zip(&places) {
            match answer {
                Ok(PastAnswer::Moved) => counts.moved += 1,
                Ok(PastAnswer::Reversed) => counts.reversed += 1,
                Ok(
                    PastAnswer::Unmoved | PastAnswer::Live | PastAnswer::Known | PastAnswer::Parked,
                ) => counts.unmoved += 1,
                Ok(PastAnswer::Closed) => return Err(StopReason::NotOurs),
                Err(NotApplied(reason)) => {
                    let (task, topic) = (&lease.task, &at.topic);
                    let (partition, offset) = (at.partition, at.offset);
                    tracing::error!(%task, %topic, partition, offset, "a past action could not be decided: {reason}");
                    counts.failed += 1;
                }
            }
        }
        Ok(())
    }

    /// Sleeps as long as the limit of records per second demands.
    async fn throttle(&self, records: usize, began: Instant) -> Result<(), StopReason> {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let least = Duration::from_secs(1) * records / self.records_per_second.max(1);
        let rest = least.saturating_sub(began.elapsed());
        match tokio::time::timeout(rest, self.stopped.cancelled()).await {
            Ok(()) => Err(StopReason::NotOurs),
            Err(_) if self.stopped.is_cancelled() => Err(StopReason::NotOurs),
            Err(_) => Ok(()),
        }
    }
}

/// Records of a chunk that are not mapped yet.
type Records = std::vec::IntoIter<(SourcePosition, OwnedRecord)>;

impl PastFilter {
    /// Maps records until their items take [`PORTION_BYTES_MAX`] of memory, and returns the others.
    fn portion(&self, mut records: Records) -> Result<(Records, Vec<Item<CountPast>>), StopReason> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while bytes < PORTION_BYTES_MAX
            && let Some((at, record)) = records.next()
        {
            let more = self.items(&record, &at)?;
            bytes += more.iter().map(|item| past_bytes(&item.work)).sum::<usize>();
            items.extend(more);
        }
        Ok((records, items))
    }

    /// Returns the record's actions that the task may count, each for the lane of its user. Records
    /// that can't be read are skipped: the live reader has parked them. Fails if a schema is
    /// unavailable at the moment, so that the backfill waits.
    fn items(
        &self,
        record: &OwnedRecord,
        at: &SourcePosition,
    ) -> Result<Vec<Item<CountPast>>, StopReason> {
        let record = record.as_raw();
        let mapped = catch_unwind(AssertUnwindSafe(|| self.sources.map(&record)));
        let mapped = mapped.unwrap_or_else(|_| Ok(Vec::new()));
        let mapped =
            mapped.map_err(|Unavailable(why)| StopReason::Stuck(why))?.into_iter().enumerate();
        let actions = mapped.filter_map(|(index, mapped)| match mapped {
            Mapped::Action(action) if self.passes(&action) => Some(self.item(index, action, at)),
            Mapped::Action(_) | Mapped::Park(_) => None,
        });
        Ok(actions.collect())
    }

    fn passes(&self, action: &Action) -> bool {
        let task = self.catalogue.task(&self.task);
        action.occurred_at >= self.from && task.is_some_and(|task| task.is_moved_by(&action.kind))
    }

    fn item(&self, index: usize, action: Action, at: &SourcePosition) -> Item<CountPast> {
        let lane = Lane::of(action.user.as_str(), self.lane_count);
        // A record that was parked as a whole names no user, so its lane is that of its partition.
        let whole = lane_of_partition(at, self.lane_count);
        let parked_as = vec![
            (lane, ParkedRecord::id_of_action(&action)),
            (lane, parked_id(at, index)),
            (whole, parked_id(at, 0)),
        ];
        Item {
            lane,
            work: CountPast { task: self.task.clone(), action, parked_as },
            origin: Origin::Backfill { task: self.task.clone(), from: Some(at.clone()) },
        }
    }
}

fn place_of(item: &Item<CountPast>) -> Option<SourcePosition> {
    match &item.origin {
        Origin::Backfill { from, .. } => from.clone(),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge need not be exact to the record beyond a quadrillion"
)]
fn remaining(lease: &Lease, records: i64) {
    metrics::gauge!("plaudit_backfill_remaining_records", "task" => lease.task.to_string())
        .set(records as f64);
}

/// Runs a blocking call to Kafka on the blocking thread pool.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StopReason> {
    let ran = tokio::task::spawn_blocking(run).await;
    ran.map_err(|error| StopReason::Stuck(format!("an internal error while reading: {error}")))
}
