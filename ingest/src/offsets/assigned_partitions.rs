//! The partitions assigned to this process and their standing. Pure.

use std::collections::BTreeMap;

use super::partition_state::Watermarks;
use crate::health::{PartitionHealth, PartitionStanding};
use crate::source_partition::SourcePartition;

/// A partition assigned to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Rises with every change of `standing`, so that an answer to an older question is recognised.
    pub epoch: u64,
    /// Rises whenever records may be read again: at an assignment, and after records were withheld.
    /// Records carry their pass, so that those of an earlier one are recognised.
    pub pass: u64,
    /// The incarnation of its topic, as of the last report.
    pub incarnation: Option<i32>,
    pub standing: PartitionStanding,
    /// The next offset to hand on; absent until the partition is verified.
    pub cursor: Option<i64>,
    /// Everything below is applied.
    pub applied: Option<i64>,
    end_offset: Option<i64>,
    /// The cursor at the time of the previous watermarks.
    cursor_then: Option<i64>,
}

/// The partitions of this process.
#[derive(Debug, Default)]
pub struct AssignedPartitions {
    assigned: BTreeMap<SourcePartition, Assigned>,
    next_epoch: u64,
    next_pass: u64,
}

impl AssignedPartitions {
    pub fn iter(&self) -> impl Iterator<Item = (&SourcePartition, &Assigned)> {
        self.assigned.iter()
    }

    pub fn get(&self, at: &SourcePartition) -> Option<&Assigned> {
        self.assigned.get(at)
    }

    pub fn clear(&mut self) {
        self.assigned.clear();
    }

    /// Adds a partition that is yet to be verified.
    pub fn assign(&mut self, at: SourcePartition) {
        let epoch = self.epoch();
        let assigned = Assigned {
            epoch,
            pass: self.pass(),
            incarnation: None,
            standing: PartitionStanding::Unverified,
            cursor: None,
            applied: None,
            end_offset: None,
            cursor_then: None,
        };
        self.assigned.insert(at, assigned);
    }

    pub fn revoke(&mut self, at: &SourcePartition) {
        self.assigned.remove(at);
    }

    /// Stops all running partitions until each is verified again.
    pub fn reverify_all(&mut self) {
        let epoch = self.epoch();
        for assigned in
            self.assigned.values_mut().filter(|a| a.standing == PartitionStanding::Running)
        {
            assigned.epoch = epoch;
            assigned.standing = PartitionStanding::Unverified;
        }
    }

    /// Makes a partition run from `start`.
    pub fn run(&mut self, at: &SourcePartition, incarnation: i32, start: i64) {
        let epoch = self.epoch();
        if let Some(assigned) = self.assigned.get_mut(at) {
            assigned.epoch = epoch;
            assigned.standing = PartitionStanding::Running;
            assigned.incarnation = Some(incarnation);
            assigned.cursor = Some(start);
            assigned.cursor_then = None;
        }
    }

    /// Stops a partition before a record that can't be mapped at the moment. Returns false if the
    /// record belongs to an earlier pass and is read again anyway.
    pub fn wait_for_schema(&mut self, at: &SourcePartition, pass: u64) -> bool {
        let epoch = self.epoch();
        let Some(assigned) = self.assigned.get_mut(at).filter(|a| a.pass == pass) else {
            return false;
        };
        if assigned.standing == PartitionStanding::Recreated {
            return false;
        }
        assigned.epoch = epoch;
        assigned.standing = PartitionStanding::WaitingForSchema;
        // The database knows from where to read again; records that were applied since are
        // recognised.
        assigned.cursor = None;
        true
    }

    /// Makes a partition that waits for a schema unverified, so that it is read again.
    pub fn try_again(&mut self, at: &SourcePartition) {
        let (epoch, pass) = (self.epoch(), self.pass());
        let waiting =
            self.assigned.get_mut(at).filter(|a| a.standing == PartitionStanding::WaitingForSchema);
        if let Some(assigned) = waiting {
            assigned.epoch = epoch;
            assigned.pass = pass;
            assigned.standing = PartitionStanding::Unverified;
        }
    }

    /// Stops a partition until its topic is accepted again.
    pub fn refuse(&mut self, at: &SourcePartition, incarnation: i32) {
        let epoch = self.epoch();
        if let Some(assigned) = self.assigned.get_mut(at) {
            assigned.epoch = epoch;
            assigned.standing = PartitionStanding::Recreated;
            assigned.incarnation = Some(incarnation);
            assigned.cursor = None;
        }
    }

    /// Returns the current pass over a partition.
    pub fn pass_of(&self, at: &SourcePartition) -> u64 {
        self.assigned.get(at).map_or(0, |assigned| assigned.pass)
    }

    /// Returns the incarnation for a record that is to be handed on, and moves the cursor past it.
    /// Returns `None` if the record was handed on before or its partition is not running.
    pub fn hand_on(&mut self, at: &SourcePartition, offset: i64) -> Option<i32> {
        let assigned = self.assigned.get_mut(at)?;
        let cursor = assigned.cursor.filter(|_| assigned.standing == PartitionStanding::Running)?;
        if offset < cursor {
            return None; // handed on before
        }
        assigned.cursor = Some(offset + 1);
        assigned.incarnation
    }

    /// Moves the cursor of a running partition forward to the consumer's position and returns the
    /// incarnation. The skipped offsets are transaction markers or aborted records. Returns `None`
    /// if the cursor did not move.
    pub fn move_to(&mut self, at: &SourcePartition, position: i64) -> Option<i32> {
        let assigned = self.assigned.get_mut(at)?;
        let is_running = assigned.standing == PartitionStanding::Running;
        if !is_running || assigned.cursor? >= position {
            return None;
        }
        assigned.cursor = Some(position);
        assigned.incarnation
    }

    /// Notes that everything below an offset is applied.
    pub fn note_applied(&mut self, at: &SourcePartition, next_offset: i64) {
        if let Some(assigned) = self.assigned.get_mut(at) {
            assigned.applied = Some(next_offset);
        }
    }

    /// Stores the watermarks of a partition. Returns true if it is running, but stuck: its next
    /// offset was removed, and the cursor has not moved since the last watermarks.
    pub fn note_watermarks(&mut self, at: &SourcePartition, broker: Watermarks) -> bool {
        let Some(assigned) = self.assigned.get_mut(at) else { return false };
        assigned.end_offset = Some(broker.high);
        let before = std::mem::replace(&mut assigned.cursor_then, assigned.cursor);
        assigned.standing == PartitionStanding::Running
            && assigned.cursor == before
            && assigned.cursor.is_some_and(|cursor| cursor < broker.low)
    }

    /// Returns true if there are partitions and all are read up to the ends that were last
    /// reported.
    pub fn are_read_to_their_ends(&self) -> bool {
        let is_read = |assigned: &Assigned| {
            assigned.standing == PartitionStanding::Running
                && assigned.cursor.zip(assigned.end_offset).is_some_and(|(at, end)| at >= end)
        };
        !self.assigned.is_empty() && self.assigned.values().all(is_read)
    }

    /// Returns the state of each partition.
    pub fn health(&self) -> impl Iterator<Item = (SourcePartition, PartitionHealth)> {
        self.assigned.iter().map(|(at, assigned)| {
            let next_offset = assigned.applied.or(assigned.cursor);
            let health = PartitionHealth {
                topic: at.topic.to_string(),
                partition: at.partition,
                next_offset,
                end_offset: assigned.end_offset,
                lag: assigned.end_offset.zip(next_offset).map(|(end, next)| (end - next).max(0)),
                state: assigned.standing,
            };
            (at.clone(), health)
        })
    }

    fn epoch(&mut self) -> u64 {
        self.next_epoch += 1;
        self.next_epoch
    }

    fn pass(&mut self) -> u64 {
        self.next_pass += 1;
        self.next_pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> SourcePartition {
        SourcePartition { topic: "t".into(), partition }
    }

    fn running(start: i64) -> AssignedPartitions {
        let mut partitions = AssignedPartitions::default();
        partitions.assign(at(0));
        partitions.run(&at(0), 0, start);
        partitions
    }

    #[test]
    fn nothing_is_handed_on_before_a_partition_is_verified() {
        let mut partitions = AssignedPartitions::default();
        assert_eq!(partitions.hand_on(&at(0), 5), None);
        partitions.assign(at(0));
        assert_eq!(partitions.hand_on(&at(0), 5), None);
        partitions.run(&at(0), 3, 5);
        assert_eq!(partitions.hand_on(&at(0), 5), Some(3));
    }

    #[test]
    fn a_record_is_handed_on_once_between_two_assignments() {
        let mut partitions = running(5);
        assert_eq!(partitions.hand_on(&at(0), 4), None);
        assert_eq!(partitions.hand_on(&at(0), 5), Some(0));
        assert_eq!(partitions.hand_on(&at(0), 5), None);
        assert_eq!(partitions.hand_on(&at(0), 8), Some(0)); // compacted topics have holes
        partitions.assign(at(0));
        partitions.run(&at(0), 0, 5);
        assert_eq!(partitions.hand_on(&at(0), 5), Some(0));
    }

    #[test]
    fn a_running_partition_follows_the_position_and_never_goes_back() {
        let mut partitions = running(5);
        assert_eq!(partitions.move_to(&at(0), 5), None);
        assert_eq!(partitions.move_to(&at(0), 7), Some(0));
        assert_eq!(partitions.move_to(&at(0), 6), None);
        assert_eq!(partitions.hand_on(&at(0), 6), None);
        assert_eq!(partitions.hand_on(&at(0), 7), Some(0));
        partitions.reverify_all();
        assert_eq!(partitions.move_to(&at(0), 9), None);
        assert_eq!(partitions.move_to(&at(1), 9), None);
    }

    #[test]
    fn a_partition_waits_for_a_schema_and_is_read_again_from_what_is_applied() {
        let mut partitions = running(5);
        let pass = partitions.pass_of(&at(0));
        partitions.hand_on(&at(0), 5);
        partitions.reverify_all(); // read on from the cursor: the same pass
        assert!(partitions.wait_for_schema(&at(0), pass));
        assert_eq!(partitions.get(&at(0)).unwrap().cursor, None);
        partitions.reverify_all();
        assert_eq!(partitions.hand_on(&at(0), 6), None);
        partitions.try_again(&at(0));
        assert_eq!(partitions.get(&at(0)).unwrap().standing, PartitionStanding::Unverified);
        partitions.run(&at(0), 0, 5);
        assert_eq!(partitions.hand_on(&at(0), 5), Some(0));
        assert_ne!(partitions.pass_of(&at(0)), pass);
        assert!(!partitions.wait_for_schema(&at(0), pass));
        partitions.try_again(&at(0)); // it waits for nothing
        assert_eq!(partitions.hand_on(&at(0), 6), Some(0));
    }

    #[test]
    fn what_is_verified_again_or_refused_stands_still() {
        let mut partitions = running(5);
        partitions.reverify_all();
        assert_eq!(partitions.hand_on(&at(0), 5), None);
        partitions.refuse(&at(0), 0);
        assert_eq!(partitions.hand_on(&at(0), 5), None);
    }

    #[test]
    fn an_answer_to_an_older_question_is_known_by_its_epoch() {
        let mut partitions = AssignedPartitions::default();
        let epoch = |partitions: &AssignedPartitions| partitions.get(&at(0)).map(|a| a.epoch);
        partitions.assign(at(0));
        let mut asked = vec![epoch(&partitions)];
        partitions.run(&at(0), 0, 5);
        asked.push(epoch(&partitions));
        partitions.reverify_all();
        asked.push(epoch(&partitions));
        partitions.refuse(&at(0), 0);
        asked.push(epoch(&partitions));
        partitions.assign(at(0));
        asked.push(epoch(&partitions));
        assert!(asked.is_sorted_by(|a, b| a < b), "{asked:?}");
    }

    #[test]
    fn what_is_read_to_its_end_leaves_nothing_that_could_be_refused() {
        let mut partitions = running(5);
        assert!(!partitions.are_read_to_their_ends());
        partitions.note_watermarks(&at(0), Watermarks { low: 0, high: 6 });
        assert!(!partitions.are_read_to_their_ends());
        partitions.hand_on(&at(0), 5);
        assert!(partitions.are_read_to_their_ends());
        partitions.assign(at(1));
        assert!(!partitions.are_read_to_their_ends());
        assert!(!AssignedPartitions::default().are_read_to_their_ends());
    }

    #[test]
    fn a_partition_that_stands_before_what_is_left_is_noticed() {
        let mut partitions = running(5);
        let broker = Watermarks { low: 7, high: 9 };
        assert!(!partitions.note_watermarks(&at(0), broker));
        assert!(partitions.note_watermarks(&at(0), broker));
        partitions.hand_on(&at(0), 7);
        assert!(!partitions.note_watermarks(&at(0), broker));
    }
}
