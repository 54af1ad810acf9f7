//! A follower, as its runner sees it.

use async_trait::async_trait;
use plaudit_domain::lane::Lane;
use plaudit_event_store::CheckpointMove;

/// Handles what lies in the log after the checkpoints.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Handles what the spans hold, or the beginning of it, and gives the outcome of each lane it
    /// looked at. Lanes without an outcome come again in the next round, before the others.
    ///
    /// The checkpoint of a lane moves in the transaction of what was written for it. An error
    /// concerns the round as a whole: nothing more is tried for a while. Dropped at any await when
    /// the round takes too long or the process stops.
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
    /// The epoch of the lease: it fences the checkpoint.
    pub epoch: i64,
    /// The stored checkpoint.
    pub stored: i64,
    /// Everything up to here was handled. At or after `stored`.
    pub after: i64,
    /// The last position of the lane, as last read.
    pub head: i64,
    /// The first span since this process took the lane; it may be empty.
    pub is_first: bool,
    /// The stored checkpoint is old: it is worth a write even if nothing was found.
    pub is_store_due: bool,
}

impl Span {
    /// The step of the checkpoint to `to`. Fails if this process lost the lane meanwhile.
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
        /// Whether the checkpoint was moved there too.
        is_stored: bool,
    },
    /// The lane is left alone for a while; the others go on. Begins again at the stored checkpoint.
    Failed {
        /// The lane.
        lane: Lane,
        /// Why, for an operator.
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
