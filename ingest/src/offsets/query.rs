//! Queries of the consumer to the topic monitor, and the answers.

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

/// An answer of the topic monitor.
#[derive(Debug, Clone)]
pub enum OffsetReport {
    /// The decision on a partition.
    State { at: SourcePartition, epoch: u64, incarnation: i32, state: PartitionState },
    /// The beginnings and ends of partitions.
    Watermarks(HashMap<SourcePartition, Watermarks>),
}
