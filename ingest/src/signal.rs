//! Messages of the other parts to the consumer's thread.

use plaudit_domain::lane::Lane;

use crate::offsets::query::OffsetReport;
use crate::offsets::tracker::{BatchId, LaneShare};
use crate::source_partition::SourcePartition;

/// A message to the consumer's thread.
#[derive(Debug)]
pub enum Signal {
    /// A mapper has turned its records of a batch into work for these lanes. Sent before the work is.
    Mapped {
        batch: BatchId,
        records: usize,
        bytes: usize,
        shares: Vec<LaneShare>,
        /// A partition that each of these lanes has records of.
        feeders: Vec<(Lane, SourcePartition)>,
    },
    /// A mapper has met a record whose schema can't be had, and drops what it has of this pass over the
    /// partition from there on. Sent before [`Self::Mapped`], so that no offset beyond it is stored.
    Withheld { at: SourcePartition, pass: u64, why: String },
    /// The records of a batch for one lane are committed.
    Applied { batch: BatchId, share: LaneShare },
    /// The topic monitor has asked the brokers.
    Report(OffsetReport),
}
