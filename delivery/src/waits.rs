//! Waits between attempts. Each has jitter, so that attempts that failed together do not come back
//! together.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

fn waits(from: Duration, to: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(from)
        .with_max_delay(to)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Waits of an open circuit: from a second to a minute.
pub fn of_circuit() -> ExponentialBackoff {
    waits(Duration::from_secs(1), Duration::from_secs(60))
}

/// Wait of a message after this number of attempts, at least 1: from a second to an hour.
pub fn of_message(attempts: i32) -> Duration {
    let index = usize::try_from(attempts.clamp(1, 20) - 1).unwrap_or_default();
    let mut waits = waits(Duration::from_secs(1), Duration::from_secs(3_600));
    waits.nth(index).unwrap_or(Duration::from_secs(3_600))
}
