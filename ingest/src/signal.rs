//! Messages from the other parts to the polling thread.

use plaudit_domain::lane::Lane;

use crate::offsets::query::OffsetReport;
use crate::offsets::tracker::{BatchId, LaneShare};
use crate::source_partition::SourcePartition;

/// Records of a batch that a mapper has turned into shares for lanes.
#[derive(Debug)]
pub struct MappedPart {
    pub batch: BatchId,
    pub records: usize,
    /// The size of the records, as polled.
    pub bytes: usize,
    pub shares: Vec<LaneShare>,
    /// For each of these lanes, a partition that has records for it.
    pub feeders: Vec<(Lane, SourcePartition)>,
}

/// A message to the polling thread.
#[derive(Debug)]
pub enum Signal {
    /// A mapper has mapped some of its records of a batch and waits for room. Sent before the work
    /// is.
    PartlyMapped(MappedPart),
    /// A mapper has mapped the last of its records of a batch. Sent before the work is.
    Mapped(MappedPart),
    /// A mapper has met a record whose schema is unavailable, and drops the rest of this pass over
    /// the partition. Sent before [`Self::Mapped`], so that no offset beyond the record is stored.
    Withheld { at: SourcePartition, pass: u64, why: String },
    /// The share of a batch for one lane is committed.
    Applied { batch: BatchId, share: LaneShare },
    /// The topic monitor has an answer from the brokers.
    Report(OffsetReport),
}
