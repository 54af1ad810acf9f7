//! The worker puts what batches have for lanes into the queue of commands, and tells when it is
//! applied.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use plaudit_event_store::{
    Applied, CommandQueue, ExecuteError, Item, Origin, Outcome, SourcePosition, Submission, Work,
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::health::{IngestHealth, Subject};
use crate::offsets::tracker::{BatchId, LaneShare};
use crate::signal::Signal;
use crate::source_partition::SourcePartition;

/// The work of one batch.
#[derive(Debug)]
pub struct WorkerBatch {
    pub batch: BatchId,
    pub shares: Vec<WorkerShare>,
}

/// What a batch has for one lane, each user's items in order.
#[derive(Debug)]
pub struct WorkerShare {
    lane: Lane,
    items: Vec<Item>,
    /// The places among the items of those that name lost records.
    losses: Vec<usize>,
    bytes: usize,
}

impl WorkerShare {
    pub fn new(lane: Lane) -> Self {
        Self { lane, items: Vec::new(), losses: Vec::new(), bytes: 0 }
    }

    pub fn add(&mut self, item: Item, bytes: usize) {
        self.items.push(item);
        self.bytes += bytes;
    }

    /// Adds an item that names lost records.
    pub fn add_loss(&mut self, item: Item, bytes: usize) {
        self.losses.push(self.items.len());
        self.add(item, bytes);
    }

    /// The lane, with a partition that it has records of.
    pub fn feeder(&self) -> Option<(Lane, SourcePartition)> {
        let origin = self.items.last().map(|item| &item.origin);
        let Some(Origin::Record(SourcePosition { topic, partition, .. })) = origin else {
            return None;
        };
        let at = SourcePartition { topic: Arc::clone(topic), partition: *partition };
        Some((self.lane, at))
    }

    pub fn size(&self) -> LaneShare {
        LaneShare { lane: self.lane, items: self.items.len(), bytes: self.bytes }
    }
}

pub struct Worker {
    pub queue: CommandQueue,
    /// Bounded by how much may be in flight.
    pub batches: UnboundedReceiver<WorkerBatch>,
    pub signals: mpsc::Sender<Signal>,
    pub health: Arc<IngestHealth>,
    /// Nobody waits for the work any longer.
    pub abandoned: CancellationToken,
}

/// How long after a failure the loss of records is named again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Worker {
    /// Works until there is nothing more to come. Cancel-safe: what was not committed is read again,
    /// and what was committed is recognised by its source position.
    pub async fn run(mut self) {
        let abandoned = self.abandoned.clone();
        let work = async {
            let mut applying = JoinSet::new();
            while let Some(WorkerBatch { batch, shares }) = self.batches.recv().await {
                for share in shares {
                    applying.spawn(self.submit(batch, share));
                }
                while let Some(ended) = applying.try_join_next() {
                    pass_on(ended);
                }
            }
            while let Some(ended) = applying.join_next().await {
                pass_on(ended);
            }
        };
        tokio::select! {
            () = work => {}
            () = abandoned.cancelled() => {}
        }
    }

    /// Submits a share now, since each lane of the queue is first in, first out. The future waits
    /// until it is applied. Shares are apart, so that a lane that somebody else holds keeps its own
    /// share waiting and no other.
    fn submit(
        &self,
        batch: BatchId,
        share: WorkerShare,
    ) -> impl Future<Output = ()> + Send + use<> {
        let began = Instant::now();
        let size = share.size();
        let losses: Vec<(usize, Item)> =
            share.losses.iter().map(|at| (*at, share.items[*at].clone())).collect();
        let submission = self.queue.submit(share.items);
        let (queue, signals, health) =
            (self.queue.clone(), self.signals.clone(), Arc::clone(&self.health));
        async move {
            match applied(&queue, submission, losses, &health).await {
                Ok(()) => health.resolve(&Subject::Worker),
                Err(error) => {
                    let problem = format!("records can't be applied: {error}");
                    return health.report(Subject::Worker, problem);
                }
            }
            metrics::histogram!("plaudit_ingest_batch_seconds")
                .record(began.elapsed().as_secs_f64());
            // The consumer's thread is gone only after the work was abandoned.
            let _ = signals.send(Signal::Applied { batch, share: size });
        }
    }
}

/// A panic ends the worker, and with it the session: a share that is never applied would hold up all
/// offsets behind it.
fn pass_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Waits until items are applied. The queue tries those of records until they are, so an error means
/// that it has ended.
async fn applied(
    queue: &CommandQueue,
    submission: Submission,
    losses: Vec<(usize, Item)>,
    health: &IngestHealth,
) -> Result<(), Arc<ExecuteError>> {
    let applied = submission.await?;
    let unnamed = unnamed_losses(losses, &applied);
    if unnamed.is_empty() {
        return Ok(());
    }
    while let Err(error) = queue.submit(unnamed.clone()).await {
        health.report(Subject::Worker, format!("lost records can't be named: {error}"));
        tokio::time::sleep(RETRY_AFTER).await;
    }
    Ok(())
}

/// The losses that were passed over because their lane has applied later records of the partition
/// already. They are named all the same, once: the id of a loss follows from its place.
fn unnamed_losses(losses: Vec<(usize, Item)>, applied: &[Applied]) -> Vec<Item> {
    let is_unnamed = |at: usize| {
        applied.get(at).is_some_and(|applied| applied.outcome == Outcome::AlreadyApplied)
    };
    let unnamed = losses.into_iter().filter(|(at, _)| is_unnamed(*at));
    let by_id = unnamed.filter_map(|(_, item)| match &item.work {
        Work::Park(parked) => Some(Item { origin: Origin::Request(parked.id), ..item }),
        _ => None,
    });
    by_id.collect()
}
