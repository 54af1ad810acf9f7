//! Lanes with a record that the broker did not take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::deliveries::Due;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;

/// The failing lanes of this process. Only the first record of each is sent until the broker has it
/// or it is given up: those behind it would be sent again every time.
#[derive(Debug)]
pub struct FailingLanes {
    /// Each lane with the time at which its first record failed first.
    since: BTreeMap<Lane, Instant>,
    /// Time for which a record is tried that the broker refuses whenever it is sent. Until then an
    /// operator may raise the topic's limit.
    refused_for: Duration,
}

impl FailingLanes {
    pub fn new(refused_for: Duration) -> Self {
        Self { since: BTreeMap::new(), refused_for }
    }

    /// Forgets lanes that other processes hold now, and removes all but the first record of each
    /// failing lane.
    pub fn keep_first(&mut self, due: &mut Vec<Due>, held: &[Lane]) {
        self.since.retain(|lane, _| held.contains(lane));
        let mut seen = BTreeSet::new();
        due.retain(|due| !self.since.contains_key(&due.lane) || seen.insert(due.lane));
    }

    /// Returns true if the first record of a lane is not worth further attempts: the broker has
    /// refused it for too long, and will do so whenever it is sent.
    pub fn is_given_up(&self, lane: Lane, cause: &KafkaError, now: Instant) -> bool {
        let since = self.since.get(&lane).copied().unwrap_or(now);
        is_final(cause) && now.duration_since(since) >= self.refused_for
    }

    /// Notes the lanes whose records succeeded or were given up, and then those with a failure.
    pub fn note<'l>(
        &mut self,
        ended: impl Iterator<Item = &'l Lane>,
        failed: impl Iterator<Item = &'l Lane>,
        now: Instant,
    ) {
        for lane in ended {
            self.since.remove(lane);
        }
        for lane in failed {
            self.since.entry(*lane).or_insert(now);
        }
    }
}

/// Returns true if the broker refuses the record whenever it is sent, or another of its batch.
pub fn is_final(cause: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidRecord, MessageSizeTooLarge};
    matches!(cause.rdkafka_error_code(), Some(MessageSizeTooLarge | InvalidRecord))
}
