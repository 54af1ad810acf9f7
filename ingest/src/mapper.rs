//! Threads on which records become items of work.
//!
//! A mapping may take as long as its budget allows, for each record again. On threads of their own,
//! mappings stop neither polling nor the end of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use plaudit_actions::formats::Unavailable;
use plaudit_actions::record::OwnedRecord;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{Item, SourcePosition, Work};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::health::{IngestHealth, Subject};
use crate::offsets::tracker::{BatchId, NextOffset};
use crate::route::Router;
use crate::signal::Signal;
use crate::source_partition::SourcePartition;
use crate::worker::{WorkerBatch, WorkerShare};

/// The part of a polled batch for one mapper. Records of a partition are in order.
#[derive(Debug)]
pub struct MapperBatch {
    pub polled: Vec<Polled>,
    /// Of the records.
    pub bytes: usize,
}

/// The polled records.
#[derive(Debug)]
pub enum Polled {
    Record {
        at: SourcePosition,
        /// Over the partition; see [`Signal::Withheld`].
        pass: u64,
        record: OwnedRecord,
        bytes: usize,
    },
    /// Records were removed from Kafka before they were read. `at` is the last of them.
    Loss { at: SourcePosition, pass: u64, item: Box<Item> },
}

impl Polled {
    fn pass(&self) -> u64 {
        let (Self::Record { pass, .. } | Self::Loss { pass, .. }) = self;
        *pass
    }

    /// The partition, and where it is to be read next.
    pub fn read_up_to(&self) -> (SourcePartition, NextOffset) {
        let (Self::Record { at, .. } | Self::Loss { at, .. }) = self;
        let partition = SourcePartition { topic: at.topic.clone(), partition: at.partition };
        (partition, NextOffset { incarnation: at.incarnation, offset: at.offset + 1 })
    }
}

/// Maps the records of its partitions, one batch after the other.
pub struct Mapper {
    pub router: Router,
    pub catalogue: Arc<CatalogueStore>,
    /// Bounded by how much may be in flight.
    pub batches: mpsc::Receiver<(BatchId, MapperBatch)>,
    pub signals: mpsc::Sender<Signal>,
    pub work: UnboundedSender<WorkerBatch>,
    pub health: Arc<IngestHealth>,
    /// The pass over a partition that ended with a record whose schema could not be had. What is left
    /// of that pass is dropped: the partition goes back to that record.
    pub withheld: BTreeMap<SourcePartition, u64>,
    /// Nobody waits for the work any longer.
    pub abandoned: CancellationToken,
}

/// The memory of an item besides the bytes of its record: the parsed action, its texts, and its place in the queue.
const ITEM_BYTES: usize = 1_536;

impl Mapper {
    /// Maps until the sender is dropped, or nobody waits any longer.
    pub fn run(mut self) {
        while let Ok((batch, MapperBatch { polled, bytes })) = self.batches.recv() {
            let records = polled.len();
            let mut shares: BTreeMap<Lane, WorkerShare> = BTreeMap::new();
            for polled in polled {
                if self.abandoned.is_cancelled() {
                    return;
                }
                self.map(polled, &mut shares);
            }
            let sizes = shares.values().map(WorkerShare::size).collect();
            let feeders = shares.values().filter_map(WorkerShare::feeder).collect();
            let mapped = Signal::Mapped { batch, records, bytes, shares: sizes, feeders };
            // First, so that no share is applied before it is known.
            if self.signals.send(mapped).is_err() {
                return;
            }
            // A worker that is gone was abandoned: then no offset is stored either.
            let _ = self.work.send(WorkerBatch { batch, shares: shares.into_values().collect() });
        }
    }

    fn map(&mut self, polled: Polled, shares: &mut BTreeMap<Lane, WorkerShare>) {
        if self.is_withheld(&polled) {
            return;
        }
        let (partition, _) = polled.read_up_to();
        match polled {
            Polled::Record { at, pass, record, bytes } => {
                let items = match self.router.items(&record.as_raw(), &at) {
                    Ok(items) => items,
                    Err(Unavailable(why)) => return self.withhold(partition, pass, why),
                };
                if self.withheld.remove(&partition).is_some() {
                    self.health.resolve(&Subject::Schema(partition.topic.to_string()));
                }
                self.count(&items);
                for item in items {
                    // Each user of a record may have a copy of it.
                    share(shares, item.lane).add(item, bytes + ITEM_BYTES);
                }
            }
            Polled::Loss { item, .. } => share(shares, item.lane).add_loss(*item, ITEM_BYTES),
        }
    }

    fn is_withheld(&self, polled: &Polled) -> bool {
        !self.withheld.is_empty()
            && self.withheld.get(&polled.read_up_to().0) == Some(&polled.pass())
    }

    /// Drops this record and those behind it, and says so before their batch is taken for mapped.
    fn withhold(&mut self, at: SourcePartition, pass: u64, why: String) {
        self.withheld.insert(at.clone(), pass);
        // Without a consumer nothing is stored either.
        let _ = self.signals.send(Signal::Withheld { at, pass, why });
    }
    fn count(&self, items: &[Item]) {
        self.catalogue.count_unmatched(items);
        let parked = items.iter().filter(|item| !matches!(item.work, Work::Action(_))).count();
        metrics::counter!("plaudit_ingest_parked_total").increment(parked as u64);
        metrics::counter!("plaudit_ingest_actions_total").increment((items.len() - parked) as u64);
    }
}

fn share(shares: &mut BTreeMap<Lane, WorkerShare>, lane: Lane) -> &mut WorkerShare {
    shares.entry(lane).or_insert_with(|| WorkerShare::new(lane))
}
