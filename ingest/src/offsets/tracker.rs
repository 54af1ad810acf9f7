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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(u64);

/// The part of a batch for one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneShare {
    pub lane: Lane,
    pub items: usize,
    /// The memory of its items.
    pub bytes: usize,
}

/// The amount of work in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Records that wait to be mapped plus items that wait to be applied. At most
    /// [`LANE_ITEMS_MAX`] items of each lane count.
    pub items: usize,
    /// The memory of all of them. At most [`LANE_BYTES_MAX`] of each lane count.
    pub bytes: usize,
}

/// The most items of one lane that count in [`Load::items`]. A lane that another process holds locked
/// collects items until it is released; beyond this number they fill their share of the memory, but
/// do not stop the other lanes.
const LANE_ITEMS_MAX: usize = 1024;

/// The most bytes of one lane that count in [`Load::bytes`]. With as many, a lane is crowded: the
/// partitions that feed it are paused. What was polled before that may exceed it by far.
pub const LANE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most batches in flight that keep offsets of their own, which bounds the memory for offsets
/// to this number for each partition. Only a lane that stands still leaves more batches in flight;
/// the offsets of a further one are stored together with those of the next.
const BATCHES_WITH_OFFSETS_MAX: usize = 1024;

/// The batches that are being mapped and applied, oldest first.
///
/// A batch is a set of records that were polled together. Mappers divide it into shares for
/// lanes, which are applied in any order. The offsets of a batch may be stored once it and all
/// earlier batches are applied. Only batches with work in flight are kept, so the bounds of that
/// work bound their number too: an applied batch hands its offsets to the batch before it.
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
    /// Its offsets, and those of the applied batches right after it.
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
            bytes: self.unmapped.bytes
                + lanes.map(|lane| lane.bytes.min(LANE_BYTES_MAX)).sum::<usize>(),
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
        mut next_offsets: NextOffsets,
    ) -> BatchId {
        let id = BatchId(self.next_id);
        self.next_id += 1;
        self.unmapped.add(records, bytes);
        if self.batches.len() >= BATCHES_WITH_OFFSETS_MAX
            && let Some(last) = self.batches.back_mut()
        {
            let mut earlier = std::mem::take(&mut last.next_offsets);
            earlier.extend(next_offsets);
            next_offsets = earlier;
        }
        self.batches.push_back(InFlight { id, open: mappers, next_offsets });
        self.merge_if_applied(self.batches.len() - 1);
        id
    }

    /// Notes that a mapper has turned some of its records of a batch into these shares, and goes on
    /// with the others.
    pub fn partly_mapped(
        &mut self,
        id: BatchId,
        records: usize,
        bytes: usize,
        shares: &[LaneShare],
    ) {
        self.unmapped.subtract(records, bytes);
        for share in shares {
            self.lanes.entry(share.lane).or_default().add(share.items, share.bytes);
        }
        self.change_open(id, |open| open + shares.len());
    }

    /// Notes that a mapper has turned the last of its records of a batch into these shares.
    pub fn mapped(&mut self, id: BatchId, records: usize, bytes: usize, shares: &[LaneShare]) {
        self.partly_mapped(id, records, bytes, shares);
        self.change_open(id, |open| open.saturating_sub(1));
    }

    /// Notes that a share of a batch is committed.
    pub fn applied(&mut self, id: BatchId, share: &LaneShare) {
        if let Some(lane) = self.lanes.get_mut(&share.lane) {
            lane.subtract(share.items, share.bytes);
        }
        self.change_open(id, |open| open.saturating_sub(1));
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

    fn change_open(&mut self, id: BatchId, change: impl FnOnce(usize) -> usize) {
        if let Ok(index) = self.batches.binary_search_by_key(&id, |batch| batch.id) {
            self.batches[index].open = change(self.batches[index].open);
            self.merge_if_applied(index);
        }
    }

    /// Merges a batch into the one before it if it is applied. Its offsets may be stored exactly
    /// when that one's may.
    fn merge_if_applied(&mut self, index: usize) {
        if index == 0 || self.batches[index].open > 0 {
            return;
        }
        if let Some(applied) = self.batches.remove(index) {
            self.batches[index - 1].next_offsets.extend(applied.next_offsets);
        }
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
    fn a_batch_that_is_mapped_in_parts_waits_for_the_last() {
        let mut tracker = Tracker::default();
        let batch = tracker.begin(1, 3, 300, offsets(&[(0, 5)]));
        tracker.partly_mapped(batch, 1, 100, &[share(0, 1)]);
        assert_eq!(tracker.load(), Load { items: 3, bytes: 300 });
        tracker.applied(batch, &share(0, 1));
        assert_eq!(tracker.committable_offsets(), offsets(&[]));
        tracker.mapped(batch, 2, 200, &[share(0, 2)]);
        tracker.applied(batch, &share(0, 2));
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 5)]));
        assert_eq!(tracker.load(), Load::default());
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
    fn rule_23_a_lane_that_stands_still_counts_with_few_of_its_items_and_bytes() {
        let mut tracker = Tracker::default();
        for _ in 0..100 {
            let batch = tracker.begin(1, 1000, 100_000, offsets(&[]));
            tracker.mapped(batch, 1000, 100_000, &[share(1, 900), share(2, 100)]);
            tracker.applied(batch, &share(2, 100));
        }
        assert_eq!(tracker.load(), Load { items: LANE_ITEMS_MAX, bytes: LANE_BYTES_MAX });
        assert_eq!(tracker.fullest_lane(), Some(Lane(1)));
        assert_eq!(tracker.bytes_of(Lane(1)), 100 * 900 * 100);
    }

    /// A partition goes on while one share of its first batch waits for its lane.
    #[test]
    fn rule_23_applied_batches_behind_a_lane_that_stands_still_take_no_memory() {
        let mut tracker = Tracker::default();
        let (held, of_held) = mapped(&mut tracker, 1, offsets(&[(0, 1)]));
        for offset in 2..10_000 {
            let (batch, shares) = mapped(&mut tracker, 2, offsets(&[(0, offset)]));
            for share in &shares {
                tracker.applied(batch, share);
            }
            tracker.begin(0, 0, 0, offsets(&[(1, offset)]));
        }
        assert_eq!(tracker.batches.len(), 1);
        assert_eq!(tracker.committable_offsets(), offsets(&[]));
        tracker.applied(held, &of_held[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, 9_999), (1, 9_999)]));
        assert!(tracker.is_idle());
    }

    /// Each batch leaves a share behind, so that none of them is applied.
    #[test]
    fn rule_23_the_offsets_of_batches_that_stand_still_are_bounded() {
        let mut tracker = Tracker::default();
        let last = 3 * i64::try_from(BATCHES_WITH_OFFSETS_MAX).unwrap();
        let open: Vec<_> =
            (1..=last).map(|n| mapped(&mut tracker, 1, offsets(&[(0, n), (1, n)]))).collect();
        let kept = tracker.batches.iter().map(|batch| batch.next_offsets.len()).sum::<usize>();
        assert_eq!(kept, 2 * BATCHES_WITH_OFFSETS_MAX);
        let (newest, rest) = open.split_last().unwrap();
        for (batch, shares) in rest {
            tracker.applied(*batch, &shares[0]);
        }
        let stored = i64::try_from(BATCHES_WITH_OFFSETS_MAX).unwrap() - 1;
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, stored), (1, stored)]));
        tracker.applied(newest.0, &newest.1[0]);
        assert_eq!(tracker.committable_offsets(), offsets(&[(0, last), (1, last)]));
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
