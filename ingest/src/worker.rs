//! The worker submits the shares of batches to the command queue and reports when they are applied.

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
use crate::mapped_room::{Charge, item_bytes};
use crate::offsets::tracker::{BatchId, LaneShare};
use crate::signal::Signal;
use crate::source_partition::SourcePartition;

/// The work of one batch, ready to be applied.
#[derive(Debug)]
pub struct WorkerBatch {
    pub batch: BatchId,
    pub shares: Vec<WorkerShare>,
}

/// The items of a batch for one lane, each user's in order.
#[derive(Debug)]
pub struct WorkerShare {
    lane: Lane,
    items: Vec<Item>,
    /// The indexes of the items that name lost records.
    losses: Vec<usize>,
    /// Held until the share is applied or abandoned.
    charge: Charge,
}

impl WorkerShare {
    pub fn new(lane: Lane, charge: Charge) -> Self {
        Self { lane, items: Vec::new(), losses: Vec::new(), charge }
    }

    pub fn add(&mut self, item: Item) {
        self.charge.add(item_bytes(&item));
        self.items.push(item);
    }

    /// Adds an item that names lost records.
    pub fn add_loss(&mut self, item: Item) {
        self.losses.push(self.items.len());
        self.add(item);
    }

    /// Returns the lane and a partition that has records for it.
    pub fn feeder(&self) -> Option<(Lane, SourcePartition)> {
        let origin = self.items.last().map(|item| &item.origin);
        let Some(Origin::Record(SourcePosition { topic, partition, .. })) = origin else {
            return None;
        };
        let at = SourcePartition { topic: Arc::clone(topic), partition: *partition };
        Some((self.lane, at))
    }

    pub fn size(&self) -> LaneShare {
        LaneShare { lane: self.lane, items: self.items.len(), bytes: self.charge.bytes }
    }
}

pub struct Worker {
    pub queue: CommandQueue,
    /// Bounded by the limits of work in flight.
    pub batches: UnboundedReceiver<WorkerBatch>,
    pub signals: mpsc::Sender<Signal>,
    pub health: Arc<IngestHealth>,
    /// Cancelled once no part waits for the work.
    pub abandoned: CancellationToken,
}

/// Pause before the worker tries again to park an entry that names lost records.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Worker {
    /// Applies batches until the senders are dropped or the work is abandoned. Cancel-safe: records
    /// that were not committed are read again, and committed ones are recognised by their source
    /// position.
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

    /// Submits a share at once, since each lane of the queue is first in, first out. The returned
    /// future waits until the share is applied. Each share is submitted on its own, so that a lane
    /// that another process holds locked delays only its own share.
    fn submit(
        &self,
        batch: BatchId,
        share: WorkerShare,
    ) -> impl Future<Output = ()> + Send + use<> {
        let began = Instant::now();
        let size = share.size();
        let losses: Vec<(usize, Item)> =
            share.losses.iter().map(|at| (*at, share.items[*at].clone())).collect();
        let WorkerShare { items, charge, .. } = share;
        let submission = self.queue.submit(items);
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
            drop(charge);
            // The polling thread ends only once the work is abandoned.
            let _ = signals.send(Signal::Applied { batch, share: size });
        }
    }
}

/// Resumes the panic of a share. That ends the worker and its session: a share that is never
/// applied would hold up all later offsets.
fn pass_on(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

/// Waits until the items of a share are applied. The queue retries records until they are, so an
/// error means that the queue has ended.
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

/// Returns the losses that were skipped because their lane had already applied later records of the
/// partition. They are submitted again under their own id, which follows from their offsets, so
/// that each is named exactly once.
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
