//! Limits on how much of a batch one transaction decides.

use std::time::{Duration, Instant};

/// Limits on one transaction. The remaining items go into the next one.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    events: usize,
    time: Duration,
}

impl Limits {
    /// 10,000 events take some 10 MB here and in PostgreSQL. The time is limited because lanes are
    /// held while deciding, and each action may use its full evaluation budget.
    pub const DEFAULT: Self = Self { events: 10_000, time: Duration::from_millis(250) };

    /// No limits: the whole batch in one transaction.
    pub const NONE: Self = Self { events: usize::MAX, time: Duration::MAX };

    pub(super) fn reached(&self, events: usize, began: Instant) -> bool {
        events >= self.events || began.elapsed() >= self.time
    }

    /// True if the items may be split over several transactions.
    pub(super) fn allow_a_part(&self) -> bool {
        self.events < usize::MAX
    }
}
