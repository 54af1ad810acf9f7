//! How much of a batch one transaction decides.

use std::time::{Duration, Instant};

/// How much one transaction decides. What is left over goes into the next one.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    events: usize,
    time: Duration,
}

impl Limits {
    /// 10,000 events take some 10 MB here and in PostgreSQL. Lanes are held while deciding, so that has an
    /// end too, however many actions cost their full budget of evaluation.
    pub const DEFAULT: Self = Self { events: 10_000, time: Duration::from_millis(250) };

    /// All of it, whatever it takes.
    pub const NONE: Self = Self { events: usize::MAX, time: Duration::MAX };

    pub(super) fn reached(&self, events: usize, began: Instant) -> bool {
        events >= self.events || began.elapsed() >= self.time
    }

    /// Whether the items may be parted.
    pub(super) fn allow_a_part(&self) -> bool {
        self.events < usize::MAX
    }
}
