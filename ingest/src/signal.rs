//! Messages from the other parts to the polling thread.

use plaudit_domain::lane::Lane;

use crate::offsets::query::OffsetReport;
use crate::offsets::tracker::{BatchId, LaneShare};
use crate::source_partition::SourcePartition;

/// A message to the polling thread.
#[derive(Debug)]
pub enum Signal {
    /// A mapper has turned its records of a batch into shares for these lanes. Sent before the work
    /// is.
    Mapped {
        batch: BatchId,
        records: usize,
        bytes: usize,
        shares: Vec<LaneShare>,
        /// For each of these lanes, a partition that has records for it.
        feeders: Vec<(Lane, SourcePartition)>,
    },
    /// A mapper has met a record whose schema is unavailable, and drops the rest of this pass over
    /// the partition. Sent before [`Self::Mapped`], so that no offset beyond the record is stored.
    Withheld { at: SourcePartition, pass: u64, why: String },
    /// The share of a batch for one lane is committed.
    Applied { batch: BatchId, share: LaneShare },
    /// The topic monitor has an answer from the brokers.
    Report(OffsetReport),
}
