//! The circuit breaker of an endpoint: it opens after some failures in a row, and then one message
//! at a time tests whether the endpoint is back.

use std::time::{Duration, Instant};

use backon::ExponentialBackoff;

use super::Reply;
use crate::waits;

/// Number of failures in a row that opens the circuit.
const FAILURES_MAX: u32 = 5;

pub struct Circuit {
    failures: u32,
    waits: ExponentialBackoff,
    /// Time before which the open circuit lets nothing through.
    retry_at: Option<Instant>,
    /// Time before which the endpoint asked for no message. A success of a message that was on its
    /// way does not cancel that.
    asked_at: Option<Instant>,
}

impl Circuit {
    pub fn new() -> Self {
        Self { failures: 0, waits: waits::of_circuit(), retry_at: None, asked_at: None }
    }

    /// Number of messages that may be on their way at once, at this moment.
    pub fn allows(&self, concurrency: usize, now: Instant) -> usize {
        match self.retry_at() {
            Some(until) if now < until => 0,
            _ if self.is_open() => 1,
            _ => concurrency,
        }
    }

    /// Time from which on something may be sent again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at.max(self.asked_at)
    }

    /// Returns true if the endpoint has failed too often in a row.
    pub fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// Takes the answer to a message into account. Returns true if it shows that the endpoint
    /// works.
    pub fn learn(&mut self, reply: Reply, retry_after: Option<Duration>, now: Instant) -> bool {
        match reply {
            Reply::Accepted | Reply::Refused | Reply::Rejected => {
                self.succeeds();
                true
            }
            Reply::Unavailable => {
                self.fails(retry_after, now);
                false
            }
            Reply::Failed => false,
        }
    }

    /// Closes the circuit: the endpoint works.
    fn succeeds(&mut self) {
        *self = Self { asked_at: self.asked_at, ..Self::new() };
    }

    /// Counts a failure, with the wait that the endpoint asked for, if any.
    fn fails(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        // Failures of messages that were on their way when the circuit opened do not extend the
        // wait.
        let is_news = self.retry_at.is_none_or(|retry_at| now >= retry_at);
        if self.is_open() && is_news {
            let wait = self.waits.next().unwrap_or_default();
            self.retry_at = Some(now + wait);
        }
        self.asked_at = self.asked_at.max(retry_after.map(|wait| now + wait));
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
        let retry_at = circuit.retry_at();
        circuit.fails(None, now);
        assert_eq!((circuit.allows(8, now), circuit.retry_at()), (0, retry_at));
        let later = now + Duration::from_secs(3);
        assert_eq!(circuit.allows(8, later), 1);
        circuit.fails(None, later);
        assert_eq!(circuit.allows(8, later), 0);
        circuit.succeeds();
        assert_eq!(circuit.allows(8, later), 8);
    }

    /// It shows neither that the endpoint works nor that it fails.
    #[test]
    fn an_attempt_that_failed_in_this_process_leaves_the_circuit_as_it_is() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        for _ in 0..FAILURES_MAX {
            assert!(!circuit.learn(Reply::Failed, None, now));
        }
        assert_eq!(circuit.allows(8, now), 8);
        for _ in 0..FAILURES_MAX {
            assert!(!circuit.learn(Reply::Unavailable, None, now));
        }
        assert!(!circuit.learn(Reply::Failed, None, now));
        assert!(circuit.is_open());
        assert!(circuit.learn(Reply::Rejected, None, now));
        assert!(!circuit.is_open());
    }

    #[test]
    fn an_endpoint_that_names_a_wait_is_left_alone_for_it() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        circuit.fails(Some(Duration::from_secs(20)), now);
        assert_eq!(circuit.allows(8, now + Duration::from_secs(19)), 0);
        assert_eq!(circuit.allows(8, now + Duration::from_secs(21)), 8);
        // Other messages were on their way when the endpoint asked.
        circuit.succeeds();
        assert_eq!(circuit.allows(8, now + Duration::from_secs(19)), 0);
        assert_eq!(circuit.allows(8, now + Duration::from_secs(21)), 8);
    }
}
