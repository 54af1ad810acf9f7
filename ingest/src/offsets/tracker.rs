//! Tracks which offsets may be stored, and how much work is in flight. Pure.

use std::collections::{BTreeMap, HashMap, VecDeque};

use plaudit_domain::lane::Lane;

use crate::source_partition::SourcePartition;

/// The offset at which a partition is read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextOffset {
    /// The incarnation of the topic.
    pub incarnation: i32,
    pub offset: i64,
}

/// The next offsets of partitions.
pub type NextOffsets = HashMap<SourcePartition, NextOffset>;

/// The id of a batch in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchId(u64);

/// The part of a batch for one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneShare {
    pub lane: Lane,
    pub items: usize,
    /// The size of its records, as polled.
    pub bytes: usize,
}

/// The amount of work in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Records that wait to be mapped plus items that wait to be applied. At most
    /// [`LANE_ITEMS_MAX`] items of each lane count.
    pub items: usize,
    /// The size of all of them.
    pub bytes: usize,
}

/// The most items of one lane that count in [`Load::items`]. A lane that somebody else holds locked
/// collects items until it is released; beyond this number they fill their share of the memory, but
/// do not stop the other lanes.
const LANE_ITEMS_MAX: usize = 1024;

/// The batches that are being mapped and applied, oldest first.
///
/// A batch is a set of records that were polled together. Mappers divide it into shares for
/// lanes, which are applied in any order. The offsets of a batch may be stored once it and all
/// earlier batches are applied.
#[derive(Debug, Default)]
pub struct Tracker {
    batches: VecDeque<InFlight>,
    next_id: u64,
    unmapped: LoadOfLane,
    lanes: BTreeMap<Lane, LoadOfLane>,
}

#[derive(Debug)]
struct InFlight {
    id: BatchId,
    /// Mappers that have not finished it, plus shares that are not applied yet.
    open: usize,
    next_offsets: NextOffsets,
}

#[derive(Debug, Clone, Copy, Default)]
struct LoadOfLane {
    items: usize,
    bytes: usize,
}

impl LoadOfLane {
    fn add(&mut self, items: usize, bytes: usize) {
        self.items += items;
        self.bytes += bytes;
    }

    fn subtract(&mut self, items: usize, bytes: usize) {
        self.items = self.items.saturating_sub(items);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Tracker {
    /// Returns true if no batch is in flight.
    pub fn is_idle(&self) -> bool {
        self.batches.is_empty()
    }

    /// Returns the amount of work in flight.
    pub fn load(&self) -> Load {
        let lanes = self.lanes.values();
        Load {
            items: self.unmapped.items
                + lanes.clone().map(|lane| lane.items.min(LANE_ITEMS_MAX)).sum::<usize>(),
            bytes: self.unmapped.bytes + lanes.map(|lane| lane.bytes).sum::<usize>(),
        }
    }

    /// Returns the bytes in flight for a lane.
    pub fn bytes_of(&self, lane: Lane) -> usize {
        self.lanes.get(&lane).map_or(0, |load| load.bytes)
    }

    /// Returns the lane with the most bytes in flight.
    pub fn fullest_lane(&self) -> Option<Lane> {
        let busy = self.lanes.iter().filter(|(_, load)| load.bytes > 0);
        busy.max_by_key(|(_, load)| load.bytes).map(|(lane, _)| *lane)
    }

    /// Adds a batch that is handed to `mappers` mappers. `records` and `bytes` are totals.
    pub fn begin(
        &mut self,
        mappers: usize,
        records: usize,
        bytes: usize,
        next_offsets: NextOffsets,
    ) -> BatchId {
        let id = BatchId(self.next_id);
        self.next_id += 1;
        self.unmapped.add(records, bytes);
        self.batches.push_back(InFlight { id, open: mappers, next_offsets });
        id
    }

    /// Notes that a mapper has turned its records of a batch into these shares.
    pub fn mapped(&mut self, id: BatchId, records: usize, bytes: usize, shares: &[LaneShare]) {
        self.unmapped.subtract(records, bytes);
        for share in shares {
            self.lanes.entry(share.lane).or_default().add(share.items, share.bytes);
        }
        if let Some(batch) = self.find(id) {
            batch.open = (batch.open + shares.len()).saturating_sub(1);
        }
    }

    /// Notes that a share of a batch is committed.
    pub fn applied(&mut self, id: BatchId, share: &LaneShare) {
        if let Some(lane) = self.lanes.get_mut(&share.lane) {
            lane.subtract(share.items, share.bytes);
        }
        if let Some(batch) = self.find(id) {
            batch.open = batch.open.saturating_sub(1);
        }
    }

    /// Takes the next offsets of the batches that are applied, as far as all earlier ones are too.
    pub fn committable_offsets(&mut self) -> NextOffsets {
        let mut committable = NextOffsets::new();
        while self.batches.front().is_some_and(|batch| batch.open == 0) {
            let applied = self.batches.pop_front().into_iter();
            committable.extend(applied.flat_map(|batch| batch.next_offsets));
        }
        committable
    }

    /// Forgets the offsets of a partition that was revoked or is read again. Its shares are still
    /// applied; whoever reads the records again recognises them.
    pub fn forget(&mut self, partition: &SourcePartition) {
        for batch in &mut self.batches {
            batch.next_offsets.remove(partition);
        }
    }

    fn find(&mut self, id: BatchId) -> Option<&mut InFlight> {
        let first = self.batches.front()?.id.0;
        let at = usize::try_from(id.0.checked_sub(first)?).ok()?;
        self.batches.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partition(partition: i32) -> SourcePartition {
        SourcePartition { topic: "t".into(), partition }
    }

    fn offsets(offsets: &[(i32, i64)]) -> NextOffsets {
        let offset = |(p, offset): &(i32, i64)| {
            (partition(*p), NextOffset { incarnation: 0, offset: *offset })
        };
        offsets.iter().map(offset).collect()
    }

    fn share(lane: i16, items: usize) -> LaneShare {
        LaneShare { lane: Lane(lane), items, bytes: items * 100 }
    }

    /// Begins a batch that one mapper has turned into one share for each of `lanes` lanes.
    fn mapped(tracker: &mut Tracker, lanes: i16, next: NextOffsets) -> (BatchId, Vec<LaneShare>) {
        let batch = tracker.begin(1, 1, 100, next);
        let shares: Vec<LaneShare> = (0..lanes).map(|lane| share(lane, 1)).collect();
        tracker.mapped(batch, 1, 100, &shares);
        (batch, shares)
    }

    #[test]
    fn a_batch_is_committable_with_its_last_share() {
        let mut tracker = Tracker::default();
        let (batch, shares) = mapped(&mut tracker, 2, offsets(&[(0, 5)]));
        tracker.applied(batch, &shares[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[]));
        tracker.applied(batch, &shares[1]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 5)]));
        assert!(tracker.is_idle());
        assert_eq!(tracker.load(), Load::default());
    }

    #[test]
    fn a_batch_waits_for_all_its_mappers() {
        let mut tracker = Tracker::default();
        let batch = tracker.begin(2, 3, 300, offsets(&[(0, 5)]));
        tracker.mapped(batch, 1, 100, &[share(0, 1)]);
        tracker.applied(batch, &share(0, 1));
        assert_eq!(tracker.committable_offsets(), offsets(&[]));
        assert_eq!(tracker.load(), Load { items: 2, bytes: 200 });
        // Records without meaning make no share.
        tracker.mapped(batch, 2, 200, &[]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 5)]));
    }

    #[test]
    fn a_batch_waits_for_those_before_it() {
        let mut tracker = Tracker::default();
        let (first, of_first) = mapped(&mut tracker, 1, offsets(&[(0, 5)]));
        let (second, of_second) = mapped(&mut tracker, 1, offsets(&[(0, 9), (1, 2)]));
        tracker.applied(second, &of_second[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[]));
        tracker.applied(first, &of_first[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 9), (1, 2)]));
    }

    #[test]
    fn a_batch_without_records_is_committable_at_once() {
        let mut tracker = Tracker::default();
        tracker.begin(0, 0, 0, offsets(&[(0, 5)]));
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 5)]));
    }

    #[test]
    fn a_forgotten_partition_is_not_committable_until_it_is_read_again() {
        let mut tracker = Tracker::default();
        let (first, of_first) = mapped(&mut tracker, 1, offsets(&[(0, 5), (1, 5)]));
        tracker.forget(&partition(0));
        let (second, of_second) = mapped(&mut tracker, 1, offsets(&[(0, 3)]));
        tracker.applied(first, &of_first[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(1, 5)]));
        tracker.applied(second, &of_second[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 3)]));
    }

    #[test]
    fn rule_23_a_lane_that_stands_still_counts_by_its_bytes_and_with_few_of_its_items() {
        let mut tracker = Tracker::default();
        for _ in 0..100 {
            let batch = tracker.begin(1, 1000, 100_000, offsets(&[]));
            tracker.mapped(batch, 1000, 100_000, &[share(1, 900), share(2, 100)]);
            tracker.applied(batch, &share(2, 100));
        }
        let load = Load { items: LANE_ITEMS_MAX, bytes: 100 * 900 * 100 };
        assert_eq!(tracker.load(), load);
        assert_eq!(tracker.fullest_lane(), Some(Lane(1)));
        assert_eq!(tracker.bytes_of(Lane(1)), load.bytes);
    }

    proptest! {
        /// In whatever order shares are committed, the committable offset is that of the longest
        /// run of committed batches.
        #[test]
        fn nothing_is_committable_before_what_precedes_it(
            lanes in prop::collection::vec(0_i16..4, 1..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mut tracker = Tracker::default();
            let next = |index: usize| offsets(&[(0, i64::try_from(index).unwrap() + 1)]);
            let mut left: Vec<_> = (0..)
                .zip(&lanes)
                .map(|(index, lanes)| mapped(&mut tracker, *lanes, next(index)))
                .collect();
            let offset = |found: NextOffsets| found.get(&partition(0)).map(|next| next.offset);
            let mut committable = offset(tracker.committable_offsets()).unwrap_or(0);
            for index in order {
                let index = index.index(lanes.len());
                let (batch, shares) = &mut left[index];
                if let Some(share) = shares.pop() {
                    tracker.applied(*batch, &share);
                }
                committable = offset(tracker.committable_offsets()).unwrap_or(committable);
                let applied = left.iter().take_while(|(_, shares)| shares.is_empty()).count();
                prop_assert_eq!(committable, i64::try_from(applied).unwrap());
            }
        }
    }
}
