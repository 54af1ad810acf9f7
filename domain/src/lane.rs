//! Lanes: fixed shares of the users, the unit of order, locking and parallel work.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A fixed share of the users. Everything of one user lies in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lane(pub i16);

/// The seed of Kafka's default partitioner.
///
/// Source: `org.apache.kafka.common.utils.Utils.murmur2`, Apache Kafka.
const KAFKA_MURMUR2_SEED: u32 = 0x9747_b28c;

impl Lane {
    /// The lane of a user (or of any other key) in a database of `lane_count` lanes.
    ///
    /// The hash is that of Kafka's default partitioner. If a topic has a power of two of
    /// partitions, at most `lane_count`, each lane's users are all in one partition.
    pub fn of(key: &str, lane_count: LaneCount) -> Self {
        let lane = kafka_hash(key) & (u32::from(lane_count.0) - 1);
        Self(i16::try_from(lane).expect("below LaneCount::MAX, which fits"))
    }
}

/// The hash of Kafka's default partitioner, as the non-negative number that Kafka uses.
pub(crate) fn kafka_hash(key: &str) -> u32 {
    murmur2::murmur2(key.as_bytes(), KAFKA_MURMUR2_SEED) & 0x7fff_ffff
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of lanes of a database: a power of two, fixed when the database is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneCount(u16);

impl LaneCount {
    /// With more lanes, a batch would take more locks than it has work for.
    pub const MAX: u16 = 1024;

    /// The count as a number.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<i64> for LaneCount {
    type Error = InvalidLaneCount;

    fn try_from(got: i64) -> Result<Self, Self::Error> {
        let count = u16::try_from(got).ok().filter(|n| n.is_power_of_two() && *n <= Self::MAX);
        count.map(Self).ok_or(InvalidLaneCount { got })
    }
}

/// A number that is not a valid [`LaneCount`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the number of lanes is a power of two from 1 to {}, got {got}", LaneCount::MAX)]
pub struct InvalidLaneCount {
    got: i64,
}

/// An event's place in the log: contiguous in its lane and in order of commit. Written `17:5210`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The lane.
    pub lane: Lane,
    /// The number in the lane, from 1; 0 is before the first event.
    pub number: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.lane, self.number)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let parse = || {
            let (lane, number) = got.split_once(':').filter(|(l, n)| digits(l) && digits(n))?;
            Some(Self { lane: Lane(lane.parse().ok()?), number: number.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidPosition { got: got.to_owned() })
    }
}

/// A text that is not a valid [`Position`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position looks like 17:5210 (lane:number), got {got:?}")]
pub struct InvalidPosition {
    got: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's own test vectors (`UtilsTest.testMurmur2`), reduced to 64 lanes.
    #[test]
    fn the_hash_is_the_one_of_kafkas_default_partitioner() {
        let hashes = [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
        ];
        for (key, hash) in hashes {
            let lane = (hash.cast_unsigned() & 0x7fff_ffff) % 64;
            assert_eq!(u32::from(Lane::of(key, LaneCount(64)).0.cast_unsigned()), lane, "{key}");
        }
    }

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = Position { lane: Lane(17), number: 5210 };
        assert_eq!(position.to_string().parse(), Ok(position));
        for bad in ["", "17", "17:", ":1", "-1:2", "1:-2", "1:2:3", "a:b", "99999:1", "+1:2"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
    }
}
