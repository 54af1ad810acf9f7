//! What was read and not yet given to the workers. Pure but for the time.

use std::collections::HashMap;
use std::time::Instant;

use plaudit_event_store::{Item, Work};

use crate::SourcePartition;
use crate::options::IngestOptions;
use crate::tracker::End;

/// The most bytes of records in a chunk. Four of them are in flight at most, so this also bounds
/// the memory for large records.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// With so many chunks in flight the workers have enough to do: the next one may grow.
const ENOUGH_IN_FLIGHT: usize = 2;

/// A chunk that grows. Its items are divided by lane among the workers, so that one worker has all
/// that a record means for a lane, and a lane always has the same worker.
#[derive(Debug)]
pub struct OpenChunk {
    items: Vec<Vec<Item>>,
    gaps: Vec<Vec<usize>>,
    ends: HashMap<SourcePartition, End>,
    records: usize,
    bytes: usize,
    began: Option<Instant>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    actions: u64,
    set_aside: u64,
}

impl OpenChunk {
    pub fn new(workers: usize) -> Self {
        Self {
            items: vec![Vec::new(); workers],
            gaps: vec![Vec::new(); workers],
            ends: HashMap::new(),
            records: 0,
            bytes: 0,
            began: None,
            counts: Counts::default(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.began.is_none()
    }

    /// Adds that a partition was read further without a record to apply.
    pub fn advance(&mut self, at: SourcePartition, end: End) {
        self.began.get_or_insert_with(Instant::now);
        self.ends.insert(at, end);
    }

    /// Adds what a record means.
    pub fn add(&mut self, at: SourcePartition, end: End, items: Vec<Item>, bytes: usize) {
        self.advance(at, end);
        self.records += 1;
        self.bytes += bytes;
        for item in items {
            match item.work {
                Work::Park(_) => self.counts.set_aside += 1,
                _ => self.counts.actions += 1,
            }
            let worker = self.worker_of(&item);
            self.items[worker].push(item);
        }
    }

    /// Adds that records are lost.
    pub fn add_gap(&mut self, at: SourcePartition, end: End, item: Item) {
        let worker = self.worker_of(&item);
        self.gaps[worker].push(self.items[worker].len());
        self.add(at, end, vec![item], 0);
    }

    /// Its offset is not stored.
    pub fn forget(&mut self, at: &SourcePartition) {
        self.ends.remove(at);
    }

    /// Whether to give it to the workers while records keep coming.
    pub fn is_due(&self, options: &IngestOptions, in_flight: usize) -> bool {
        let waited = self.began.is_some_and(|began| began.elapsed() >= options.linger);
        self.records >= options.batch_max
            || self.bytes >= BYTES_MAX
            || (in_flight < ENOUGH_IN_FLIGHT && waited)
    }

    /// The same when there is no further record at the moment.
    pub fn is_due_when_idle(&self, options: &IngestOptions, in_flight: usize) -> bool {
        !self.is_empty() && (in_flight == 0 || self.is_due(options, in_flight))
    }

    /// The parts that are not empty, each with its worker, and what was read.
    #[expect(clippy::type_complexity, reason = "taken apart at once by its only caller")]
    pub fn take(&mut self) -> (Vec<(usize, Vec<Item>, Vec<usize>)>, HashMap<SourcePartition, End>) {
        metrics::counter!("plaudit_ingest_records_total").increment(self.records as u64);
        metrics::counter!("plaudit_ingest_actions_total").increment(self.counts.actions);
        metrics::counter!("plaudit_ingest_set_aside_total").increment(self.counts.set_aside);
        let Self { items, gaps, ends, .. } = std::mem::replace(self, Self::new(self.items.len()));
        let parts = items.into_iter().zip(gaps).enumerate();
        let parts = parts.filter(|(_, (items, _))| !items.is_empty());
        (parts.map(|(worker, (items, gaps))| (worker, items, gaps)).collect(), ends)
    }

    fn worker_of(&self, item: &Item) -> usize {
        usize::from(item.lane.0.unsigned_abs()) % self.items.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plaudit_domain::lane::Lane;
    use plaudit_event_store::{Origin, ParkedRecord, SourcePosition};
    use uuid::Uuid;

    fn item(lane: i16, offset: i64) -> Item {
        let parked = ParkedRecord {
            id: Uuid::nil(),
            reason: String::new(),
            repairable: false,
            user: None,
            headers: serde_json::Value::Null,
            bytes: Vec::new(),
        };
        let at = SourcePosition { topic: "t".into(), incarnation: 0, partition: 0, offset };
        Item { lane: Lane(lane), work: Work::Park(parked), origin: Origin::Record(at) }
    }

    fn at() -> (SourcePartition, End) {
        (
            SourcePartition { topic: "t".into(), partition: 0 },
            End { incarnation: 0, next_offset: 1 },
        )
    }

    fn options() -> IngestOptions {
        IngestOptions { batch_max: 2, ..IngestOptions::new("b", vec![], "g") }
    }

    #[test]
    fn a_lane_always_has_the_same_worker_and_keeps_its_order() {
        let mut chunk = OpenChunk::new(2);
        let (partition, end) = at();
        for offset in 0..6 {
            let lanes = [item(i16::try_from(offset % 3).unwrap(), offset), item(3, offset)];
            chunk.add(partition.clone(), end, lanes.into(), 1);
        }
        let (parts, ends) = chunk.take();
        assert_eq!(ends.len(), 1);
        assert!(chunk.is_empty());
        for (worker, items, _) in parts {
            assert!(items.iter().all(|item| usize::try_from(item.lane.0).unwrap() % 2 == worker));
            let offset = |item: &Item| match &item.origin {
                Origin::Record(at) => at.offset,
                _ => unreachable!(),
            };
            assert!(items.is_sorted_by_key(offset));
        }
    }

    #[test]
    fn a_chunk_waits_for_more_only_while_the_workers_are_busy() {
        let mut chunk = OpenChunk::new(1);
        let (partition, end) = at();
        assert!(!chunk.is_due_when_idle(&options(), 0));
        chunk.add(partition.clone(), end, vec![item(0, 0)], 1);
        assert!(chunk.is_due_when_idle(&options(), 0));
        assert!(!chunk.is_due_when_idle(&options(), 2));
        chunk.add(partition, end, vec![], 1);
        assert!(chunk.is_due(&options(), 2));
    }

    #[test]
    fn a_chunk_of_large_records_is_given_away_early() {
        let mut chunk = OpenChunk::new(1);
        let (partition, end) = at();
        chunk.add(partition, end, vec![item(0, 0)], BYTES_MAX);
        assert!(chunk.is_due(&options(), 3));
    }

    #[test]
    fn lost_records_are_marked_among_the_items_of_their_worker() {
        let mut chunk = OpenChunk::new(2);
        let (partition, end) = at();
        chunk.add(partition.clone(), end, vec![item(1, 0)], 1);
        chunk.add_gap(partition, end, item(1, 1));
        let (parts, _) = chunk.take();
        assert_eq!(parts.len(), 1);
        assert_eq!((parts[0].0, parts[0].1.len(), parts[0].2.as_slice()), (1, 2, &[1][..]));
    }
}
