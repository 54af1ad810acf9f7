//! A worker applies the batches of its lanes, one after the other, each until it is committed.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use backon::BackoffBuilder as _;
use plaudit_event_store::{Applied, Batch, ExecuteError, Executor, Item, Origin, Outcome, Work};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::health::{IngestHealth, Subject};
use crate::poller::Signal;
use crate::tracker::ChunkId;

/// What one worker has to do for one chunk.
pub struct Part {
    pub chunk: ChunkId,
    /// Of lanes that no other worker has. Each user's in order.
    pub items: Vec<Item>,
    /// Places among the items that say that records are lost.
    pub gaps: Vec<usize>,
}

pub struct Worker {
    pub number: usize,
    pub executor: Arc<Executor>,
    /// Bounded by how many chunks may be in flight.
    pub parts: UnboundedReceiver<Part>,
    pub done: mpsc::Sender<Signal>,
    pub health: Arc<IngestHealth>,
    /// Nobody waits any longer.
    pub abandoned: CancellationToken,
}

/// The longest time between two attempts while the database is not available.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// The time between two attempts at what needs somebody's help.
const HELPLESS_RETRY_AFTER: Duration = Duration::from_secs(10);

impl Worker {
    /// Works until there is nothing more to come. Safe to drop at any await: what was not
    /// committed is read again, and what was committed is recognised by its source position.
    pub async fn run(mut self) {
        let abandoned = self.abandoned.clone();
        let work = async {
            while let Some(part) = self.parts.recv().await {
                let chunk = part.chunk;
                self.apply(part).await;
                if self.done.send(Signal::PartDone(chunk)).is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = abandoned.cancelled() => {}
        }
    }

    async fn apply(&self, part: Part) {
        let began = Instant::now();
        let Part { items, gaps, .. } = part;
        let lost: Vec<Item> = gaps.iter().map(|index| items[*index].clone()).collect();
        let applied = self.execute(Batch { items, checkpoints: vec![] }).await;
        metrics::histogram!("plaudit_ingest_batch_seconds").record(began.elapsed().as_secs_f64());
        // The lane may have applied later records of the partition already. What was lost is named
        // all the same, once: its id follows from where it was.
        let unnamed = gaps.iter().zip(lost).filter(|(index, _)| {
            applied.get(**index).is_some_and(|a| a.outcome == Outcome::AlreadyApplied)
        });
        let unnamed = unnamed.filter_map(|(_, item)| match &item.work {
            Work::Park(parked) => {
                let id: Uuid = parked.id;
                Some(Item { origin: Origin::Request(id), ..item })
            }
            _ => None,
        });
        let items: Vec<Item> = unnamed.collect();
        if !items.is_empty() {
            self.execute(Batch { items, checkpoints: vec![] }).await;
        }
    }

    /// Tries until it is committed: a batch is never skipped.
    async fn execute(&self, batch: Batch) -> Vec<Applied> {
        let backoff = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(RETRY_AFTER_MAX)
            .with_jitter()
            .without_max_times();
        let mut backoff = backoff.build();
        loop {
            match self.executor.execute(&batch).await {
                Ok(applied) => {
                    self.health.resolve(&Subject::Worker(self.number));
                    return applied;
                }
                Err(error) => {
                    metrics::counter!("plaudit_ingest_batch_failures_total").increment(1);
                    let problem = format!("records can't be applied: {error}");
                    self.health.report(Subject::Worker(self.number), problem);
                    tokio::time::sleep(pause_after(&error, backoff.next())).await;
                }
            }
        }
    }
}

fn pause_after(error: &ExecuteError, backoff: Option<Duration>) -> Duration {
    if error.is_transient() { backoff.unwrap_or(RETRY_AFTER_MAX) } else { HELPLESS_RETRY_AFTER }
}
