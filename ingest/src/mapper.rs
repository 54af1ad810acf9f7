//! Threads that turn records into items of work.
//!
//! A mapping may use up its time budget for every record. On threads of their own, mappings
//! delay neither polling nor the end of the process.

use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};

use plaudit_actions::formats::Unavailable;
use plaudit_actions::record::OwnedRecord;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::{Incoming, Item, SourcePosition};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use crate::health::{IngestHealth, Subject};
use crate::mapped_room::MappedRoom;
use crate::offsets::tracker::{BatchId, NextOffset};
use crate::route::Router;
use crate::signal::{MappedPart, Signal};
use crate::source_partition::SourcePartition;
use crate::worker::{WorkerBatch, WorkerShare};

/// The part of a polled batch for one mapper. The records of a partition are in order.
#[derive(Debug)]
pub struct MapperBatch {
    pub polled: Vec<Polled>,
    /// The memory charged for the records.
    pub bytes: usize,
}

/// A polled record, or a range of lost records.
#[derive(Debug)]
pub enum Polled {
    Record {
        at: SourcePosition,
        /// The pass over the partition; see [`Signal::Withheld`].
        pass: u64,
        record: OwnedRecord,
        bytes: usize,
    },
    /// Records were removed from Kafka before they were read. `at` is the last of them.
    Loss { at: SourcePosition, pass: u64, item: Box<Item<Incoming>> },
}

impl Polled {
    fn pass(&self) -> u64 {
        let (Self::Record { pass, .. } | Self::Loss { pass, .. }) = self;
        *pass
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Record { bytes, .. } => *bytes,
            Self::Loss { .. } => 0,
        }
    }

    /// Returns the partition and its next offset.
    pub fn read_up_to(&self) -> (SourcePartition, NextOffset) {
        let (Self::Record { at, .. } | Self::Loss { at, .. }) = self;
        let partition = SourcePartition { topic: at.topic.clone(), partition: at.partition };
        (partition, NextOffset { incarnation: at.incarnation, offset: at.offset + 1 })
    }
}

/// A mapper thread: maps the records of its partitions, batch by batch.
pub struct Mapper {
    pub router: Router,
    pub catalogue: Arc<CatalogueStore>,
    /// Bounded by the limits of work in flight.
    pub batches: mpsc::Receiver<(BatchId, MapperBatch)>,
    pub signals: mpsc::Sender<Signal>,
    pub work: UnboundedSender<WorkerBatch>,
    pub health: Arc<IngestHealth>,
    pub room: Arc<MappedRoom>,
    /// The pass over a partition that ended at a record with an unavailable schema. The rest of
    /// that pass is dropped, since the partition goes back to that record.
    pub withheld: BTreeMap<SourcePartition, u64>,
    /// Cancelled once no part waits for the work.
    pub abandoned: CancellationToken,
}

/// The records that a mapper has mapped since it last handed work over.
#[derive(Default)]
struct Mapping {
    records: usize,
    bytes: usize,
    shares: BTreeMap<Lane, WorkerShare>,
}

impl Mapper {
    /// Maps batches until the sender is dropped or the work is abandoned.
    pub fn run(mut self) {
        while let Ok((batch, MapperBatch { polled, .. })) = self.batches.recv() {
            let mut mapping = Mapping::default();
            for polled in polled {
                if !self.wait_for_room(batch, &mut mapping) {
                    return;
                }
                mapping.records += 1;
                mapping.bytes += polled.bytes();
                self.map(polled, &mut mapping.shares);
            }
            if !self.hand_over(batch, mapping, Signal::Mapped) {
                return;
            }
        }
    }

    /// Waits until another record may be mapped. What is mapped so far is handed over before, since
    /// the room has space only once it is applied. Returns false if the session ended.
    fn wait_for_room(&self, batch: BatchId, mapping: &mut Mapping) -> bool {
        while self.room.is_full() && !self.abandoned.is_cancelled() {
            let part = std::mem::take(mapping);
            if part.records > 0 && !self.hand_over(batch, part, Signal::PartlyMapped) {
                return false;
            }
            self.room.wait();
        }
        !self.abandoned.is_cancelled()
    }

    /// Hands mapped work over. Returns false if nobody waits for it.
    fn hand_over(
        &self,
        batch: BatchId,
        Mapping { records, bytes, shares }: Mapping,
        signal: fn(MappedPart) -> Signal,
    ) -> bool {
        let sizes = shares.values().map(WorkerShare::size).collect();
        let feeders = shares.values().filter_map(WorkerShare::feeder).collect();
        let part = MappedPart { batch, records, bytes, shares: sizes, feeders };
        // Sent before the work, so that no share is applied before the consumer knows it.
        if self.signals.send(signal(part)).is_err() {
            return false;
        }
        // The worker ends only once its session is abandoned; no offset is then stored.
        let _ = self.work.send(WorkerBatch { batch, shares: shares.into_values().collect() });
        true
    }

    fn map(&mut self, polled: Polled, shares: &mut BTreeMap<Lane, WorkerShare>) {
        if self.is_withheld(&polled) {
            return;
        }
        let (partition, _) = polled.read_up_to();
        match polled {
            Polled::Record { at, pass, record, .. } => {
                let items = match self.router.items(&record.as_raw(), &at) {
                    Ok(items) => items,
                    Err(Unavailable(why)) => return self.withhold(partition, pass, why),
                };
                if self.withheld.remove(&partition).is_some() {
                    self.health.resolve(&Subject::Schema(partition.topic.to_string()));
                }
                self.count(&items);
                for item in items {
                    self.share(shares, item.lane).add(item);
                }
            }
            Polled::Loss { item, .. } => self.share(shares, item.lane).add_loss(*item),
        }
    }

    fn share<'s>(
        &self,
        shares: &'s mut BTreeMap<Lane, WorkerShare>,
        lane: Lane,
    ) -> &'s mut WorkerShare {
        shares.entry(lane).or_insert_with(|| WorkerShare::new(lane, self.room.charge()))
    }

    fn is_withheld(&self, polled: &Polled) -> bool {
        !self.withheld.is_empty()
            && self.withheld.get(&polled.read_up_to().0) == Some(&polled.pass())
    }

    /// Drops this record and the rest of its pass, and signals that to the consumer before the
    /// batch counts as mapped.
    fn withhold(&mut self, at: SourcePartition, pass: u64, why: String) {
        self.withheld.insert(at.clone(), pass);
        // The consumer's thread is gone only if nothing will be stored.
        let _ = self.signals.send(Signal::Withheld { at, pass, why });
    }

    fn count(&self, items: &[Item<Incoming>]) {
        self.catalogue.count_unmatched(items);
        let parked = items.iter().filter(|item| matches!(item.work, Incoming::Park(_))).count();
        metrics::counter!("plaudit_ingest_parked_total").increment(parked as u64);
        metrics::counter!("plaudit_ingest_actions_total").increment((items.len() - parked) as u64);
    }
}
