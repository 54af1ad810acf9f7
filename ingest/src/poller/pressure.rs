//! Whether reading is faster than applying.

use std::time::{Duration, Instant};

/// Shorter waits are not worth a pause: after one, librdkafka fetches its queue again.
const PAUSE_AFTER: Duration = Duration::from_secs(1);

/// Since when there is no room for another chunk, and whether the partitions are paused.
#[derive(Debug, Default)]
pub struct Pressure {
    full_since: Option<Instant>,
    paused_since: Option<Instant>,
}

impl Pressure {
    /// Notes that there is no room. Whether that lasts so long that partitions are to be paused.
    pub fn is_too_long(&mut self) -> bool {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        self.paused_since.is_none() && since.elapsed() >= PAUSE_AFTER
    }

    /// Notes that the partitions are paused.
    pub fn pause(&mut self) {
        self.paused_since = Some(Instant::now());
    }

    pub fn is_paused(&self) -> bool {
        self.paused_since.is_some()
    }

    /// Notes that there is room. Whether the partitions were paused.
    pub fn relieved(&mut self) -> bool {
        self.full_since = None;
        let Some(since) = self.paused_since.take() else { return false };
        let paused_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
        metrics::counter!("plaudit_ingest_paused_ms_total").increment(paused_ms);
        true
    }
}
