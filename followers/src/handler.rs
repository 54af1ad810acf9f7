//! The interface between a follower and its runner.

use async_trait::async_trait;
use plaudit_domain::lane::Lane;
use plaudit_event_store::CheckpointMove;

/// Handles the events after the checkpoints.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles the events of the spans, or the first of them, and returns the outcome of each lane
    /// it looked at. Lanes without an outcome come first in the next round.
    ///
    /// The checkpoint of a lane moves in the transaction of what was written for it. An error
    /// concerns the round as a whole; the next round follows after a wait. Dropped at any await
    /// when the round takes too long or the process stops.
    async fn handle(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String>;

    /// Called about once a second while there is nothing to handle.
    async fn idle(&mut self) {}

    /// Called once at the end.
    async fn close(&mut self) {}
}

/// A part of a lane's log that this process may handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The lane.
    pub lane: Lane,
    /// Epoch of the lease, which fences the checkpoint.
    pub epoch: i64,
    /// The stored checkpoint.
    pub stored: i64,
    /// Last position that was handled. At or after `stored`.
    pub after: i64,
    /// The last position of the lane, as last read.
    pub head: i64,
    /// True for the first span since this process took the lane. Such a span may be empty.
    pub is_first: bool,
    /// True if the stored checkpoint is old and worth a write even if nothing was found.
    pub is_store_due: bool,
}

impl Span {
    /// Builds the move of the checkpoint to `to`. Its execution fails if this process has lost the
    /// lane.
    pub fn checkpoint(&self, follower: &'static str, to: i64) -> CheckpointMove {
        CheckpointMove { follower, lane: self.lane, epoch: self.epoch, from: self.stored, to }
    }
}

/// The outcome of a lane in a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneOutcome {
    /// Handled up to and including `up_to`.
    Handled {
        /// The lane.
        lane: Lane,
        /// The last position that was handled; at or after [`Span::after`].
        up_to: i64,
        /// True if the stored checkpoint was moved to `up_to`.
        is_stored: bool,
    },
    /// The lane failed. It is tried again after a wait, from the stored checkpoint; the others go
    /// on.
    Failed {
        /// The lane.
        lane: Lane,
        /// The cause, for an operator.
        reason: String,
    },
}

impl LaneOutcome {
    /// The lane.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Handled { lane, .. } | Self::Failed { lane, .. } => *lane,
        }
    }
}
