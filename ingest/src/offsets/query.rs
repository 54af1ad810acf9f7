//! The consumer's queries to the topic monitor, and the reports that answer them.

use std::collections::HashMap;

use super::partition_state::{PartitionState, Watermarks};
use crate::health::PartitionStanding;
use crate::source_partition::SourcePartition;

/// A query about a partition assigned to this process.
#[derive(Debug, Clone)]
pub struct OffsetQuery {
    pub at: SourcePartition,
    /// Repeated in the report, so that a report on an older query is recognised.
    pub epoch: u64,
    /// The incarnation of the topic under which the partition is read; absent before the first
    /// report.
    pub incarnation: Option<i32>,
    pub standing: PartitionStanding,
    /// The next offset to hand on; absent if the partition was not read yet.
    pub cursor: Option<i64>,
}

/// An answer from the topic monitor.
#[derive(Debug, Clone)]
pub enum OffsetReport {
    /// The decision on a partition.
    State { at: SourcePartition, epoch: u64, incarnation: i32, state: PartitionState },
    /// The watermarks of partitions.
    Watermarks(HashMap<SourcePartition, Watermarks>),
}
