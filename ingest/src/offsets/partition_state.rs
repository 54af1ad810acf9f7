//! Decides whether a partition still continues what was read of it before. Pure.

use plaudit_event_store::sources::Known;

/// A partition as a broker has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that is still there.
    pub low: i64,
    /// The offset that the next record will get.
    pub high: i64,
}

/// A partition as Plaudit knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// The offsets in the database. Absent if nothing of the partition was ever read.
    pub known: Option<Known>,
    /// The offset that the group has committed.
    pub committed: Option<i64>,
    /// The next offset of this process, if it was already reading.
    pub cursor: Option<i64>,
}

/// The decision on a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionState {
    /// It can be read from `start`. Records that were applied before are recognised.
    Fine {
        /// The first offset to read.
        start: i64,
    },
    /// It ends below the offset up to which it was read: the topic was deleted and created again.
    Recreated {
        /// The end of the partition.
        end: i64,
        /// The offset up to which it was read.
        read: i64,
    },
    /// Records were removed before they were read.
    Gap {
        /// The first lost offset.
        from: i64,
        /// The first offset that is still there.
        until: i64,
    },
}

/// Decides on a partition from the broker's offsets and what was read.
///
/// The database is authoritative: the committed offset may be behind it, or ahead of it after
/// the database was restored from a backup. Reading begins at the lower of the two, or at the
/// earliest record if no offset is committed. A partition that was already being read goes on at
/// its cursor.
pub fn decide(broker: Watermarks, memory: Memory) -> PartitionState {
    let Memory { known, committed, cursor } = memory;
    let read = match (known, cursor) {
        (known, Some(cursor)) => known.map_or(cursor, |k| k.read.max(cursor)),
        (Some(known), None) => known.read,
        (None, None) => committed.unwrap_or(0),
    };
    if broker.high < read {
        return PartitionState::Recreated { end: broker.high, read };
    }
    let expected = match (cursor, known) {
        (Some(cursor), _) => Some(cursor),
        // Committed records are applied, even if the database's own note is up to a second older.
        // That does not hold if the database has never read that far.
        (None, Some(known)) => {
            Some(committed.filter(|c| *c <= known.read).unwrap_or(0).max(known.applied))
        }
        (None, None) => committed,
    };
    if let Some(from) = expected.filter(|expected| broker.low > *expected) {
        return PartitionState::Gap { from, until: broker.low };
    }
    let start = match (cursor, committed, known) {
        (Some(cursor), _, _) => cursor,
        (None, None, _) => broker.low,
        (None, Some(committed), Some(known)) => committed.min(known.applied),
        (None, Some(committed), None) => committed,
    };
    PartitionState::Fine { start: start.max(broker.low) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(applied: i64, read: i64) -> Known {
        Known { applied, read }
    }

    fn decided(
        low: i64,
        high: i64,
        known: impl Into<Option<Known>>,
        committed: Option<i64>,
    ) -> PartitionState {
        let known = known.into();
        decide(Watermarks { low, high }, Memory { known, committed, cursor: None })
    }

    fn fine(start: i64) -> PartitionState {
        PartitionState::Fine { start }
    }

    #[test]
    fn a_group_without_offsets_begins_at_the_earliest_record() {
        assert_eq!(decided(0, 10, None, None), fine(0));
        assert_eq!(decided(4, 10, None, None), fine(4));
        assert_eq!(decided(0, 10, known(7, 8), None), fine(0));
        assert_eq!(decided(0, 0, None, None), fine(0));
    }

    #[test]
    fn a_group_with_offsets_goes_on_at_the_lower_of_its_own_and_the_databases() {
        assert_eq!(decided(0, 10, known(7, 8), Some(7)), fine(7));
        assert_eq!(decided(0, 10, known(7, 8), Some(8)), fine(7));
        assert_eq!(decided(0, 10, known(7, 8), Some(3)), fine(3));
        assert_eq!(decided(0, 10, None, Some(3)), fine(3));
    }

    #[test]
    fn after_the_database_was_restored_reading_begins_where_the_backup_ends() {
        assert_eq!(decided(0, 100, known(7, 8), Some(90)), fine(7));
        let lost = PartitionState::Gap { from: 7, until: 20 };
        assert_eq!(decided(20, 100, known(7, 8), Some(90)), lost);
    }

    #[test]
    fn rule_21_an_end_before_what_was_read_is_another_topic() {
        let recreated = PartitionState::Recreated { end: 3, read: 8 };
        assert_eq!(decided(0, 3, known(7, 8), Some(7)), recreated);
        assert_eq!(decided(0, 3, known(7, 8), None), recreated);
        assert_eq!(decided(0, 3, None, Some(8)), recreated);
        assert_eq!(decided(0, 8, known(7, 8), Some(7)), fine(7));
        let cursor = Memory { cursor: Some(8), ..Memory::default() };
        assert_eq!(decide(Watermarks { low: 0, high: 3 }, cursor), recreated);
    }

    #[test]
    fn rule_21_records_removed_before_they_were_read_are_a_gap() {
        let gap = |from, until| PartitionState::Gap { from, until };
        assert_eq!(decided(9, 10, known(7, 8), Some(7)), gap(7, 9));
        assert_eq!(decided(9, 10, known(7, 7), None), gap(7, 9));
        assert_eq!(decided(9, 10, None, Some(4)), gap(4, 9));
        assert_eq!(decided(7, 10, known(7, 8), Some(7)), fine(7));
    }

    #[test]
    fn what_was_committed_is_not_missed_even_if_the_note_of_it_is_older() {
        assert_eq!(decided(9, 10, known(5, 10), Some(9)), fine(9));
    }

    #[test]
    fn a_running_partition_goes_on_where_it_stands() {
        let at = |low, cursor| {
            let memory =
                Memory { known: known(2, 8).into(), committed: Some(3), cursor: Some(cursor) };
            decide(Watermarks { low, high: 10 }, memory)
        };
        assert_eq!(at(0, 9), fine(9));
        assert_eq!(at(10, 9), PartitionState::Gap { from: 9, until: 10 });
    }
}
