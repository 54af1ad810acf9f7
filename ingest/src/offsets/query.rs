//! What the consumer asks the topic monitor, and what it hears from it.

use std::collections::HashMap;

use super::partition_state::{PartitionState, Watermarks};
use crate::health::PartitionStanding;
use crate::source_partition::SourcePartition;

/// Asks about a partition that this process was assigned.
#[derive(Debug, Clone)]
pub struct OffsetQuery {
    pub at: SourcePartition,
    /// Repeated in the report, so that one to an older query is recognised.
    pub epoch: u64,
    /// The incarnation of the topic that the partition is read under; absent before the first report.
    pub incarnation: Option<i32>,
    pub standing: PartitionStanding,
    /// The next offset to hand on; absent if the partition was not read yet.
    pub cursor: Option<i64>,
}

/// What the topic monitor found.
#[derive(Debug, Clone)]
pub enum OffsetReport {
    /// What to do with a partition.
    State { at: SourcePartition, epoch: u64, incarnation: i32, state: PartitionState },
    /// Where partitions begin and end.
    Watermarks(HashMap<SourcePartition, Watermarks>),
}
