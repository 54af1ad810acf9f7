//! Lanes with a record that the broker did not take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::deliveries::Due;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::time::Instant;
use uuid::Uuid;

/// The failing lanes of this process. Only the first record of each is sent until the broker has it
/// or it is given up: those behind it would be sent again every time.
#[derive(Debug)]
pub struct FailingLanes {
    lanes: BTreeMap<Lane, Failing>,
    /// Time for which a record is tried that the broker refuses whenever it is sent. Until then an
    /// operator may raise the topic's limit.
    refused_for: Duration,
}

/// The first record of a failing lane.
#[derive(Debug, Clone, Copy)]
struct Failing {
    grant: Uuid,
    /// The time since which the broker has refused it for good; `None` if its last failure may pass.
    refused_since: Option<Instant>,
}

impl FailingLanes {
    pub fn new(refused_for: Duration) -> Self {
        Self { lanes: BTreeMap::new(), refused_for }
    }

    /// Forgets lanes that other processes hold now, and removes all but the first record of each
    /// failing lane.
    pub fn keep_first(&mut self, due: &mut Vec<Due>, held: &[Lane]) {
        self.lanes.retain(|lane, _| held.contains(lane));
        let mut seen = BTreeSet::new();
        due.retain(|due| !self.lanes.contains_key(&due.lane) || seen.insert(due.lane));
    }

    /// Notes that the first record of a lane failed. Returns true if it is not worth further
    /// attempts: the broker has refused it for too long, and will do so whenever it is sent.
    pub fn fails(&mut self, lane: Lane, grant: Uuid, cause: &KafkaError, now: Instant) -> bool {
        let known = self.lanes.get(&lane).filter(|known| known.grant == grant);
        let refused_since =
            is_final(cause).then(|| known.and_then(|known| known.refused_since).unwrap_or(now));
        self.lanes.insert(lane, Failing { grant, refused_since });
        refused_since.is_some_and(|since| now.duration_since(since) >= self.refused_for)
    }

    /// Notes that the broker has a record of the lane, or that it was given up.
    pub fn ends(&mut self, lane: Lane) {
        self.lanes.remove(&lane);
    }
}

/// Returns true if the broker refuses the record whenever it is sent, or another of its batch.
pub fn is_final(cause: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidRecord, MessageSizeTooLarge};
    matches!(cause.rdkafka_error_code(), Some(MessageSizeTooLarge | InvalidRecord))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane(1);

    #[test]
    fn the_minute_for_raising_the_limit_begins_with_the_refusal_of_this_record() {
        let failed = |code| KafkaError::MessageProduction(code);
        let too_long = || failed(RDKafkaErrorCode::MessageSizeTooLarge);
        let no_broker = || failed(RDKafkaErrorCode::MessageTimedOut);
        let (one, two, began) = (Uuid::from_u128(1), Uuid::from_u128(2), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut lanes = FailingLanes::new(Duration::from_secs(60));
        // The broker was down for two minutes.
        assert!(!lanes.fails(LANE, one, &no_broker(), at(0)));
        assert!(!lanes.fails(LANE, one, &too_long(), at(120)));
        assert!(!lanes.fails(LANE, one, &too_long(), at(179)));
        assert!(lanes.fails(LANE, one, &too_long(), at(180)));
        // Another record is first, as the one before was revoked.
        assert!(!lanes.fails(LANE, two, &too_long(), at(181)));
        assert!(!lanes.fails(LANE, two, &no_broker(), at(240)));
        assert!(!lanes.fails(LANE, two, &too_long(), at(250)));
        lanes.ends(LANE);
        assert!(!lanes.fails(LANE, two, &too_long(), at(400)));
    }
}
