//! Detects that records are read faster than they are applied.

use std::time::{Duration, Instant};

/// Shorter waits are not worth a pause: after a pause, librdkafka fetches its queue again.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

/// The time without room after which reading counts as stalled.
const STALLED_AFTER: Duration = Duration::from_secs(8);

/// The start of the present lack of room for another batch, and of the present pause of the
/// partitions.
#[derive(Debug, Default)]
pub struct Backpressure {
    full_since: Option<Instant>,
    paused_since: Option<Instant>,
}

impl Backpressure {
    /// Notes that there is no room. Returns true once that has lasted so long that the partitions
    /// must be paused.
    pub fn must_pause(&mut self) -> bool {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        self.paused_since.is_none() && since.elapsed() >= PAUSE_AFTER
    }

    /// Notes that the partitions are paused.
    pub fn pause(&mut self) {
        self.paused_since = Some(Instant::now());
    }

    /// Returns true once there has been no room for so long that it must be reported.
    pub fn is_stalled(&self) -> bool {
        self.full_since.is_some_and(|since| since.elapsed() >= STALLED_AFTER)
    }

    pub fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// Notes that there is room. Returns true if the partitions were paused.
    pub fn relieve(&mut self) -> bool {
        self.full_since = None;
        let Some(since) = self.paused_since.take() else { return false };
        let paused_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        metrics::counter!("plaudit_ingest_paused_ms_total").increment(paused_ms);
        true
    }
}
