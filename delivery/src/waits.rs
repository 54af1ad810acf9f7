//! Waits between attempts. Each has jitter, so that attempts that failed together do not come back
//! together.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Waits of `from` to `to`, on average twice as long each time. The jitter of `backon` adds up to
/// the whole wait, so the waits that it is given end at half of `to`.
fn waits(from: Duration, to: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(from)
        .with_max_delay(to / 2)
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
    let longest = Duration::from_secs(3_600);
    let index = usize::try_from(attempts.clamp(1, 20) - 1).unwrap_or_default();
    waits(Duration::from_secs(1), longest).nth(index).unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many waits of each kind, because of their jitter.
    const TRIES: usize = 200;

    #[test]
    fn a_message_waits_for_one_second_at_first_and_for_an_hour_at_most() {
        for attempts in 1..=30 {
            let shortest = 2_f64.powi((attempts - 1).min(12)).min(1_800.0);
            for _ in 0..TRIES {
                let wait = of_message(attempts).as_secs_f64();
                let range = shortest..=2.0 * shortest;
                assert!(range.contains(&wait), "{wait} after {attempts} attempts, not {range:?}");
            }
        }
    }

    #[test]
    fn an_open_circuit_waits_for_one_second_at_first_and_for_a_minute_at_most() {
        for _ in 0..TRIES {
            let waits: Vec<Duration> = of_circuit().take(12).collect();
            assert!((1..=2).contains(&waits[0].as_secs()) && waits[0] <= Duration::from_secs(2));
            let is_long = |wait: &Duration| (30.0..=60.0).contains(&wait.as_secs_f64());
            assert!(waits[6..].iter().all(is_long), "{waits:?}");
        }
    }
}
