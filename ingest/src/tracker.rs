//! Which offsets may be stored: those below which everything is committed. Pure.

use std::collections::{HashMap, VecDeque};

use crate::SourcePartition;

/// Where a partition goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The topic's incarnation.
    pub incarnation: i32,
    /// The next offset.
    pub next_offset: i64,
}

/// Names a chunk among those in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkId(u64);

/// The chunks that are being applied, oldest first. A chunk is what was read in one go; its parts
/// are applied by different workers, in any order.
#[derive(Debug, Default)]
pub struct Tracker {
    chunks: VecDeque<Chunk>,
    next_id: u64,
}

#[derive(Debug)]
struct Chunk {
    id: ChunkId,
    parts_left: usize,
    ends: HashMap<SourcePartition, End>,
}

impl Tracker {
    /// How many chunks are not yet settled.
    pub fn in_flight(&self) -> usize {
        self.chunks.len()
    }

    /// Begins a chunk of so many parts that reads its partitions up to `ends`.
    pub fn begin(&mut self, parts: usize, ends: HashMap<SourcePartition, End>) -> ChunkId {
        let id = ChunkId(self.next_id);
        self.next_id += 1;
        self.chunks.push_back(Chunk { id, parts_left: parts, ends });
        id
    }

    /// Notes that a part of a chunk is committed.
    pub fn part_done(&mut self, id: ChunkId) {
        if let Some(chunk) = self.chunks.iter_mut().find(|chunk| chunk.id == id) {
            chunk.parts_left = chunk.parts_left.saturating_sub(1);
        }
    }

    /// Takes the ends of the chunks that are committed and before which all chunks are.
    pub fn settled(&mut self) -> HashMap<SourcePartition, End> {
        let mut settled = HashMap::new();
        while self.chunks.front().is_some_and(|chunk| chunk.parts_left == 0) {
            settled.extend(self.chunks.pop_front().into_iter().flat_map(|chunk| chunk.ends));
        }
        settled
    }

    /// Forgets a partition that belongs to someone else now, or begins anew. Its parts go on: what
    /// they apply is recognised whoever reads it again.
    pub fn forget(&mut self, partition: &SourcePartition) {
        for chunk in &mut self.chunks {
            chunk.ends.remove(partition);
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

    fn ends(ends: &[(i32, i64)]) -> HashMap<SourcePartition, End> {
        let end = |(p, next_offset): &(i32, i64)| {
            (partition(*p), End { incarnation: 0, next_offset: *next_offset })
        };
        ends.iter().map(end).collect()
    }

    #[test]
    fn a_chunk_settles_with_its_last_part() {
        let mut tracker = Tracker::default();
        let chunk = tracker.begin(2, ends(&[(0, 5)]));
        tracker.part_done(chunk);
        assert_eq!(tracker.settled(), ends(&[]));
        tracker.part_done(chunk);
        assert_eq!(tracker.settled(), ends(&[(0, 5)]));
        assert_eq!(tracker.in_flight(), 0);
    }

    #[test]
    fn a_chunk_waits_for_those_before_it() {
        let mut tracker = Tracker::default();
        let first = tracker.begin(1, ends(&[(0, 5)]));
        let second = tracker.begin(1, ends(&[(0, 9), (1, 2)]));
        tracker.part_done(second);
        assert_eq!(tracker.settled(), ends(&[]));
        tracker.part_done(first);
        assert_eq!(tracker.settled(), ends(&[(0, 9), (1, 2)]));
    }

    #[test]
    fn a_chunk_without_parts_settles_at_once() {
        let mut tracker = Tracker::default();
        tracker.begin(0, ends(&[(0, 5)]));
        assert_eq!(tracker.settled(), ends(&[(0, 5)]));
    }

    #[test]
    fn a_forgotten_partition_settles_nothing_until_it_is_read_again() {
        let mut tracker = Tracker::default();
        let first = tracker.begin(1, ends(&[(0, 5), (1, 5)]));
        tracker.forget(&partition(0));
        let second = tracker.begin(1, ends(&[(0, 3)]));
        tracker.part_done(first);
        assert_eq!(tracker.settled(), ends(&[(1, 5)]));
        tracker.part_done(second);
        assert_eq!(tracker.settled(), ends(&[(0, 3)]));
    }

    proptest! {
        /// In whatever order parts are committed, what is settled is exactly what the longest
        /// committed run of chunks has read.
        #[test]
        fn nothing_settles_before_what_precedes_it(
            parts in prop::collection::vec(0_usize..4, 1..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let mut tracker = Tracker::default();
            let mut left = parts.clone();
            let offset = |index: usize| i64::try_from(index).unwrap() + 1;
            let ids: Vec<_> = parts
                .iter()
                .enumerate()
                .map(|(index, parts)| tracker.begin(*parts, ends(&[(0, offset(index))])))
                .collect();
            let mut settled = tracker.settled().get(&partition(0)).map_or(0, |e| e.next_offset);
            for index in order {
                let index = index.index(parts.len());
                if left[index] > 0 {
                    left[index] -= 1;
                    tracker.part_done(ids[index]);
                }
                settled = tracker.settled().get(&partition(0)).map_or(settled, |e| e.next_offset);
                let committed = left.iter().take_while(|left| **left == 0).count();
                prop_assert_eq!(settled, i64::try_from(committed).unwrap());
            }
        }
    }
}
