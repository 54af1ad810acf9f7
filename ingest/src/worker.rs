//! The worker puts chunks into the queue of commands, and tells when each is applied.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Instant;

use plaudit_event_store::{Applied, CommandQueue, Item, Origin, Outcome, Submission, Work};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::health::{IngestHealth, Subject};
use crate::poller::Signal;
use crate::tracker::ChunkId;

/// What there is to do for one chunk.
pub struct Part {
    pub chunk: ChunkId,
    /// Each user's in order.
    pub items: Vec<Item>,
    /// Places among the items that say that records are lost.
    pub gaps: Vec<usize>,
}

pub struct Worker {
    pub number: usize,
    pub queue: CommandQueue,
    /// Bounded by how many chunks may be in flight.
    pub parts: UnboundedReceiver<Part>,
    pub done: mpsc::Sender<Signal>,
    pub health: Arc<IngestHealth>,
    /// Nobody waits any longer.
    pub abandoned: CancellationToken,
}

impl Worker {
    /// Works until there is nothing more to come. Cancel-safe: what was not committed is read again, and
    /// what was committed is recognised by its source position.
    pub async fn run(mut self) {
        let abandoned = self.abandoned.clone();
        let work = async {
            let mut applying = JoinSet::new();
            while let Some(part) = self.parts.recv().await {
                // Submitted at once and in order: each lane of the queue is first in, first out.
                let Part { chunk, items, gaps } = part;
                let lost: Vec<Item> = gaps.iter().map(|index| items[*index].clone()).collect();
                let submission = self.queue.submit(items);
                let (queue, done, health) =
                    (self.queue.clone(), self.done.clone(), Arc::clone(&self.health));
                let subject = Subject::Worker(self.number);
                applying.spawn(async move {
                    let began = Instant::now();
                    match apply(&queue, submission, gaps, lost).await {
                        Ok(()) => health.resolve(&subject),
                        Err(problem) => return health.report(subject, problem),
                    }
                    metrics::histogram!("plaudit_ingest_batch_seconds")
                        .record(began.elapsed().as_secs_f64());
                    let _ = done.send(Signal::PartDone(chunk));
                });
                while applying.try_join_next().is_some() {}
            }
            while applying.join_next().await.is_some() {}
        };
        tokio::select! {
            () = work => {}
            () = abandoned.cancelled() => {}
        }
    }
}

/// Waits until a chunk is applied. What was lost is named, once: its id follows from where it was.
async fn apply(
    queue: &CommandQueue,
    submission: Submission,
    gaps: Vec<usize>,
    lost: Vec<Item>,
) -> Result<(), String> {
    let stopped = |error: Arc<plaudit_event_store::ExecuteError>| {
        format!("records can't be applied: {error}")
    };
    let applied: Vec<Applied> = submission.await.map_err(stopped)?;
    // The lane may have applied later records of the partition already.
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
        queue.submit(items).await.map_err(stopped)?;
    }
    Ok(())
}
