//! What the consumer's thread is told by the other parts.

use crate::offsets::query::OffsetReport;
use crate::offsets::tracker::{BatchId, LaneShare};

/// A message to the consumer's thread.
#[derive(Debug)]
pub enum Signal {
    /// A mapper has turned its records of a batch into work for these lanes. Sent before the work is.
    Mapped { batch: BatchId, records: usize, bytes: usize, shares: Vec<LaneShare> },
    /// What a batch has for a lane is committed.
    Applied { batch: BatchId, share: LaneShare },
    /// The topic monitor has asked the brokers.
    Report(OffsetReport),
}
