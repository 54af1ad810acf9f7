//! Threads on which records become items of work.
//!
//! A mapping may take as long as its budget allows, for each record again. On threads of their own,
//! mappings stop neither polling nor the end of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use plaudit_actions::record::OwnedRecord;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{Item, SourcePosition, Work};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::offsets::tracker::{BatchId, NextOffset};
use crate::route::Router;
use crate::signal::Signal;
use crate::source_partition::SourcePartition;
use crate::unmatched_types::UnmatchedTypes;
use crate::worker::{WorkerBatch, WorkerShare};

/// What a mapper gets of a polled batch. Records of a partition are in order.
#[derive(Debug)]
pub struct MapperBatch {
    pub polled: Vec<Polled>,
    /// Of the records.
    pub bytes: usize,
}

/// What was polled.
#[derive(Debug)]
pub enum Polled {
    Record {
        at: SourcePosition,
        record: OwnedRecord,
        bytes: usize,
    },
    /// Records were removed from Kafka before they were read. `at` is the last of them.
    Loss {
        at: SourcePosition,
        item: Box<Item>,
    },
}

impl Polled {
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
    pub unmatched: Arc<UnmatchedTypes>,
    /// Bounded by how much may be in flight.
    pub batches: mpsc::Receiver<(BatchId, MapperBatch)>,
    pub signals: mpsc::Sender<Signal>,
    pub work: UnboundedSender<WorkerBatch>,
    /// Nobody waits for the work any longer.
    pub abandoned: CancellationToken,
}

/// What a record takes in memory besides its bytes.
const ITEM_BYTES: usize = 512;

impl Mapper {
    /// Maps until the sender is dropped, or nobody waits any longer.
    pub fn run(self) {
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
            // First, so that no share is applied before it is known.
            if self.signals.send(Signal::Mapped { batch, records, bytes, shares: sizes }).is_err() {
                return;
            }
            // A worker that is gone was abandoned: then no offset is stored either.
            let _ = self.work.send(WorkerBatch { batch, shares: shares.into_values().collect() });
        }
    }

    fn map(&self, polled: Polled, shares: &mut BTreeMap<Lane, WorkerShare>) {
        match polled {
            Polled::Record { at, record, bytes } => {
                let items = self.router.items(&record.as_raw(), &at);
                self.count(&items);
                for item in items {
                    // Each user of a record may have a copy of it.
                    share(shares, item.lane).add(item, bytes + ITEM_BYTES);
                }
            }
            Polled::Loss { item, .. } => share(shares, item.lane).add_loss(*item, ITEM_BYTES),
        }
    }
}

impl Mapper {
    fn count(&self, items: &[Item]) {
        let catalogue = self.catalogue.current();
        let mut parked = 0;
        for item in items {
            match &item.work {
                Work::Action(action) => self.unmatched.count(action, &catalogue),
                _ => parked += 1,
            }
        }
        metrics::counter!("plaudit_ingest_parked_total").increment(parked as u64);
        metrics::counter!("plaudit_ingest_actions_total").increment((items.len() - parked) as u64);
    }
}

fn share(shares: &mut BTreeMap<Lane, WorkerShare>, lane: Lane) -> &mut WorkerShare {
    shares.entry(lane).or_insert_with(|| WorkerShare::new(lane))
}
