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
    /// The open circuit lets nothing through before.
    opens_at: Option<Instant>,
    /// The endpoint asked for nothing before. An answer to what was on its way does not take that back.
    asked_at: Option<Instant>,
}

impl Circuit {
    pub fn new() -> Self {
        Self { failures: 0, waits: waits::of_circuit(), opens_at: None, asked_at: None }
    }

    /// How many messages may be on their way at once, at this moment.
    pub fn allows(&self, concurrency: usize, now: Instant) -> usize {
        match self.opens_at() {
            Some(until) if now < until => 0,
            _ if self.is_open() => 1,
            _ => concurrency,
        }
    }

    /// When something may be sent again.
    pub fn opens_at(&self) -> Option<Instant> {
        self.opens_at.max(self.asked_at)
    }

    /// Whether the endpoint has failed too often in a row.
    pub fn is_open(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// The endpoint works.
    pub fn succeeds(&mut self) {
        *self = Self { asked_at: self.asked_at, ..Self::new() };
    }

    /// The endpoint does not work, and wants to be left alone for a while, perhaps.
    pub fn fails(&mut self, retry_after: Option<Duration>, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        // What was on its way when it opened says nothing new.
        let is_news = self.opens_at.is_none_or(|opens_at| now >= opens_at);
        if self.is_open() && is_news {
            let wait = self.waits.next().unwrap_or_default();
            self.opens_at = Some(now + wait);
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
        let opens_at = circuit.opens_at();
        circuit.fails(None, now);
        assert_eq!((circuit.allows(8, now), circuit.opens_at()), (0, opens_at));
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
        // Others were on their way when it asked.
        circuit.succeeds();
        assert_eq!(circuit.allows(8, now + Duration::from_secs(19)), 0);
        assert_eq!(circuit.allows(8, now + Duration::from_secs(21)), 8);
    }
}
