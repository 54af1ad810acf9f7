//! The circuit of an endpoint: after some failures in a row it opens, and one message at a time finds out
//! whether the endpoint is back.

use std::time::{Duration, Instant};

use backon::ExponentialBackoff;

use crate::waits;

/// So many failures in a row open the circuit.
const FAILURES_MAX: u32 = 5;

pub struct Circuit {
    failures: u32,
    waits: ExponentialBackoff,
    /// Nothing is sent before.
    closed_until: Option<Instant>,
}

impl Circuit {
    pub fn new() -> Self {
        Self { failures: 0, waits: waits::of_circuit(), closed_until: None }
    }

    /// How many messages may be on their way at once, at this moment.
    pub fn allows(&self, concurrency: usize, now: Instant) -> usize {
        match self.closed_until {
            Some(until) if now < until => 0,
            _ if self.is_open() => 1,
            _ => concurrency,
        }
    }

    /// When something may be sent again.
    pub fn opens_at(&self) -> Option<Instant> {
        self.closed_until
    }

    /// Whether the endpoint has failed too often in a row.
    pub fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// The endpoint works.
    pub fn succeeds(&mut self) {
        *self = Self::new();
    }

    /// The endpoint does not work, and wants to be left alone for a while, perhaps.
    pub fn fails(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let own = self.is_open().then(|| self.waits.next().unwrap_or_default());
        if let Some(wait) = own.max(retry_after) {
            self.closed_until = self.closed_until.max(Some(now + wait));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_message_finds_out_whether_it_may_close() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        for _ in 1..FAILURES_MAX {
            circuit.fails(None, now);
            assert_eq!(circuit.allows(8, now), 8);
        }
        circuit.fails(None, now);
        assert_eq!(circuit.allows(8, now), 0);
        let later = now + Duration::from_secs(3);
        assert_eq!(circuit.allows(8, later), 1);
        circuit.fails(None, later);
        assert_eq!(circuit.allows(8, later), 0);
        circuit.succeeds();
        assert_eq!(circuit.allows(8, later), 8);
    }

    #[test]
    fn an_endpoint_that_names_a_wait_is_left_alone_for_it() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        circuit.fails(Some(Duration::from_secs(20)), now);
        assert_eq!(circuit.allows(8, now + Duration::from_secs(19)), 0);
        assert_eq!(circuit.allows(8, now + Duration::from_secs(21)), 8);
    }
}
