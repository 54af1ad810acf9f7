//! Records that were polled and not yet handed to the mappers.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Instant;

use plaudit_actions::record::OwnedRecord;
use plaudit_event_store::{Item, SourcePosition};

use crate::mapper::{MapperBatch, Polled};
use crate::offsets::tracker::{Load, NextOffset, NextOffsets};
use crate::options::IngestOptions;
use crate::source_partition::SourcePartition;

/// The most bytes of records in a batch, each charged by what it takes once it is parsed.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// A growing batch. A partition always has the same mapper, so that its records stay in order.
#[derive(Debug)]
pub struct PolledBatch {
    polled: Vec<Vec<Polled>>,
    bytes: Vec<usize>,
    next_offsets: NextOffsets,
    began: Option<Instant>,
}

impl PolledBatch {
    pub fn new(mappers: usize) -> Self {
        let polled = (0..mappers).map(|_| Vec::new()).collect();
        Self { polled, bytes: vec![0; mappers], next_offsets: NextOffsets::new(), began: None }
    }

    pub fn is_empty(&self) -> bool {
        self.began.is_none()
    }

    /// Returns the number of records.
    pub fn records(&self) -> usize {
        self.polled.iter().map(Vec::len).sum()
    }

    fn bytes(&self) -> usize {
        self.bytes.iter().sum()
    }

    /// Adds a record.
    pub fn add(&mut self, at: SourcePosition, pass: u64, record: OwnedRecord, bytes: usize) {
        self.push(Polled::Record { at, pass, record, bytes }, bytes);
    }

    /// Adds an item that names lost records. `at` is the last of them.
    pub fn add_loss(&mut self, at: &SourcePosition, pass: u64, item: Item) {
        self.push(Polled::Loss { at: at.clone(), pass, item: Box::new(item) }, 0);
    }

    fn push(&mut self, polled: Polled, bytes: usize) {
        let (partition, next) = polled.read_up_to();
        let mapper = mapper_of(&partition, self.polled.len());
        self.advance(partition, next);
        self.bytes[mapper] += bytes;
        self.polled[mapper].push(polled);
    }

    /// Notes that a partition was read further without a record to apply.
    pub fn advance(&mut self, at: SourcePartition, next: NextOffset) {
        self.began.get_or_insert_with(Instant::now);
        self.next_offsets.insert(at, next);
    }

    /// Drops the next offset of a partition, so that it is not stored.
    pub fn forget(&mut self, at: &SourcePartition) {
        self.next_offsets.remove(at);
    }

    /// Returns true if the batch is to be handed over although more records keep coming.
    pub fn is_due(&self, options: &IngestOptions, load: Load) -> bool {
        let waited = self.began.is_some_and(|began| began.elapsed() >= options.linger);
        self.records() >= options.batch_max
            || self.bytes() >= BYTES_MAX
            // With more in flight the workers are busy, and the batch may grow.
            || (load.items < options.batch_max && waited)
    }

    /// Returns true if the batch is to be handed over when no further record is at hand.
    pub fn is_due_when_idle(&self, options: &IngestOptions, load: Load) -> bool {
        !self.is_empty() && (load.items == 0 || self.is_due(options, load))
    }

    /// Takes each mapper's records, if it has any, and the next offset of each partition.
    pub fn take(&mut self) -> (Vec<(usize, MapperBatch)>, NextOffsets) {
        metrics::counter!("plaudit_ingest_records_total").increment(self.records() as u64);
        let Self { polled, bytes, next_offsets, .. } =
            std::mem::replace(self, Self::new(self.polled.len()));
        let batches = polled.into_iter().zip(bytes).enumerate();
        let batches = batches.filter(|(_, (polled, _))| !polled.is_empty());
        let batches = batches.map(|(at, (polled, bytes))| (at, MapperBatch { polled, bytes }));
        (batches.collect(), next_offsets)
    }
}

/// Neighbouring partitions of a topic have different mappers.
fn mapper_of(at: &SourcePartition, mappers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    at.topic.hash(&mut hasher);
    let partition = u64::try_from(at.partition).unwrap_or(0);
    let mapper = hasher.finish().wrapping_add(partition) % mappers.max(1) as u64;
    usize::try_from(mapper).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn options() -> IngestOptions {
        let linger = Duration::from_secs(3600);
        IngestOptions { batch_max: 3, linger, ..IngestOptions::new("b", vec!["t".into()], "g") }
    }

    fn at(partition: i32, offset: i64) -> SourcePosition {
        SourcePosition { topic: "t".into(), incarnation: 0, partition, offset }
    }

    fn add(batch: &mut PolledBatch, partition: i32, offset: i64, bytes: usize) {
        batch.add(at(partition, offset), 1, OwnedRecord::default(), bytes);
    }

    fn load(items: usize) -> Load {
        Load { items, bytes: items }
    }

    #[test]
    fn partitions_are_divided_among_the_mappers_and_keep_their_order() {
        let mut batch = PolledBatch::new(2);
        for offset in 0..5 {
            add(&mut batch, 0, offset, 10);
            add(&mut batch, 1, offset, 10);
        }
        batch.advance(
            SourcePartition { topic: "t".into(), partition: 7 },
            NextOffset { incarnation: 0, offset: 9 },
        );
        let (batches, next_offsets) = batch.take();
        assert_eq!(batches.len(), 2);
        for (_, batch) in batches {
            assert_eq!((batch.polled.len(), batch.bytes), (5, 50));
            let offsets: Vec<i64> =
                batch.polled.iter().map(|polled| polled.read_up_to().1.offset).collect();
            assert_eq!(offsets, [1, 2, 3, 4, 5]);
        }
        assert_eq!(next_offsets.len(), 3);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_when_there_is_nothing_else_to_do() {
        let mut batch = PolledBatch::new(1);
        assert!(!batch.is_due_when_idle(&options(), load(0)));
        add(&mut batch, 0, 0, 1);
        assert!(batch.is_due_when_idle(&options(), load(0)));
        assert!(!batch.is_due_when_idle(&options(), load(1)));
        assert!(!batch.is_due(&options(), load(0)));
        add(&mut batch, 0, 1, 1);
        add(&mut batch, 0, 2, 1);
        assert!(batch.is_due(&options(), load(100)));
    }

    #[test]
    fn a_batch_that_has_waited_is_due_unless_the_workers_have_enough_to_do() {
        let mut batch = PolledBatch::new(1);
        add(&mut batch, 0, 0, 1);
        let options = IngestOptions { linger: Duration::ZERO, ..options() };
        assert!(batch.is_due(&options, load(2)));
        assert!(!batch.is_due(&options, load(3)));
    }

    #[test]
    fn a_batch_of_large_records_is_due_early() {
        let mut batch = PolledBatch::new(1);
        add(&mut batch, 0, 0, BYTES_MAX);
        assert!(batch.is_due(&options(), load(100)));
    }
}
