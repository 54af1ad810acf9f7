//! The Kafka producer. It sends batches of records and keeps the order of each user's records.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use crate::{StartError, message};

/// Time limit for the broker's answer whether the topic exists.
const METADATA_MAX: Duration = Duration::from_secs(5);
/// Time for which the client's queue may stay full with no record of ours in it, and the interval
/// between looks.
const FULL_MAX: Duration = Duration::from_secs(10);
const FULL_RETRY_AFTER: Duration = Duration::from_millis(2);
/// Time limit for sending the remaining records at the end.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Properties that only Plaudit may set, each with the reason.
const REFUSED: &[(&str, &str)] = &[
    ("bootstrap.servers", "the brokers are named by `kafka.brokers`"),
    ("metadata.broker.list", "the brokers are named by `kafka.brokers`"),
    ("enable.idempotence", "a retried send would be a second record, or out of order"),
    ("acks", "a record counts as sent when all replicas have it"),
    ("request.required.acks", "a record counts as sent when all replicas have it"),
    ("transactional.id", "records are published at least once, without transactions"),
    ("partitioner", "all records of a user lie in one partition, in order"),
    ("allow.auto.create.topics", "a topic that is missing is named and waited for, never made"),
];

/// A topic to publish to.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Addresses of the brokers.
    pub brokers: String,
    /// Its name.
    pub name: String,
    /// Further properties of the Kafka client, such as those of TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

/// A record to send: a `CloudEvent` of a user.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub lane: Lane,
    /// The user's id.
    pub key: String,
    /// A `CloudEvent` in structured mode.
    pub body: String,
}

/// Sends records to a topic.
#[derive(Clone)]
pub struct Publisher {
    topic: Topic,
    producer: FutureProducer,
}

impl Publisher {
    /// Makes the Kafka client, without waiting for a broker.
    pub fn new(topic: &Topic) -> Result<Self, StartError> {
        if let Some((name, why)) =
            REFUSED.iter().find(|(name, _)| topic.properties.contains_key(*name))
        {
            return Err(StartError::Property { name, why });
        }
        Ok(Self { topic: topic.clone(), producer: Self::producer(topic)? })
    }

    fn producer(topic: &Topic) -> KafkaResult<FutureProducer> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &topic.brokers)
            .set("client.id", "plaudit-delivery")
            // Keeps the order per user across retries, and a retried send is not a second record.
            .set("enable.idempotence", "true")
            // A round waits for its acknowledgements; after this time the record counts as failed.
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "2")
            // A missing topic is reported, not created. Only `dev` creates topics.
            .set("allow.auto.create.topics", "false")
            // A broker that is back is found within a second; the default is 10 s.
            .set("reconnect.backoff.max.ms", "1000")
            // A network that drops connections silently is noticed between two rounds as well.
            .set("socket.keepalive.enable", "true")
            // The partitioner that producers of actions should use as well.
            .set("partitioner", "murmur2_random");
        for (name, value) in &topic.properties {
            config.set(name, value);
        }
        config.create()
    }

    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// Replaces the Kafka client after a fatal error, such as a gap in the sequence of the
    /// idempotent producer. The failed client never sends anything again.
    fn replace_failed_client(&mut self) -> KafkaResult<()> {
        let Some((code, reason)) = self.producer.client().fatal_error() else { return Ok(()) };
        tracing::warn!(
            "the Kafka client of the topic {} has failed for good and is replaced: {code}: {reason}",
            self.topic()
        );
        let failed = std::mem::replace(&mut self.producer, Self::producer(&self.topic)?);
        // Dropping it blocks until its threads have ended.
        tokio::task::spawn_blocking(move || drop(failed));
        Ok(())
    }

    /// Returns true if the topic exists.
    pub async fn finds_topic(&self) -> KafkaResult<bool> {
        let (producer, topic) = (self.producer.clone(), self.topic().to_owned());
        let ask = move || {
            let is_unknown = |code| {
                matches!(
                    code,
                    RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic
                )
            };
            let metadata = match producer.client().fetch_metadata(Some(&topic), METADATA_MAX) {
                Err(error) if error.rdkafka_error_code().is_some_and(is_unknown) => {
                    return Ok(false);
                }
                metadata => metadata?,
            };
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
                return Ok(false);
            };
            match found.error().map(RDKafkaErrorCode::from) {
                None => Ok(!found.partitions().is_empty()),
                Some(code) if is_unknown(code) => Ok(false),
                Some(code) => Err(KafkaError::MetadataFetch(code)),
            }
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Sends records in order and waits until the broker has each of them or never will: none of
    /// them arrives after the call. Returns the outcome of each. Records behind a failure in their
    /// lane are not sent; records behind a failure of their user count as not sent.
    pub async fn publish(&mut self, records: &[Outgoing]) -> Vec<Sent> {
        if let Err(cause) = self.replace_failed_client() {
            return vec![Sent::Failed(cause); records.len()];
        }
        let mut round = Round { outcomes: vec![Sent::Held; records.len()], ..Round::default() };
        for (index, record) in records.iter().enumerate() {
            if round.failed.contains_key(&record.lane) {
                continue;
            }
            match self.send(record, &mut round).await {
                Ok(on_its_way) => round.sent.push((index, record.lane, on_its_way)),
                Err(cause) => {
                    round.outcomes[index] = Sent::Failed(cause.clone());
                    round.failed.insert(record.lane, cause);
                }
            }
        }
        round.settle().await;
        hold_behind_failures(records, &mut round.outcomes);
        round.outcomes
    }

    /// Hands a record to the client. If the queue is full, waits for the earlier ones first.
    async fn send(&self, outgoing: &Outgoing, round: &mut Round) -> KafkaResult<DeliveryFuture> {
        let give_up_at = Instant::now() + FULL_MAX;
        loop {
            let record = FutureRecord::to(self.topic())
                .key(&outgoing.key)
                .payload(&outgoing.body)
                .headers(message::headers());
            match self.producer.send_result(record).map_err(|(cause, _)| cause) {
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull))
                    if Instant::now() < give_up_at =>
                {
                    round.settle().await;
                    // An earlier record of this lane failed: this one must not arrive before it.
                    if let Some(cause) = round.failed.get(&outgoing.lane) {
                        return Err(cause.clone());
                    }
                    // The client counts a message until it has reported all of its batch.
                    tokio::time::sleep(FULL_RETRY_AFTER).await;
                }
                sent => return sent,
            }
        }
    }

    /// Sends the remaining records, within [`FLUSH_MAX`].
    pub async fn close(&self) {
        let producer = self.producer.clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_MAX)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the broker did not take the last records; they are sent again");
        }
    }
}

/// The outcome of a record in a round.
#[derive(Debug, Clone)]
pub enum Sent {
    /// The broker has the record, in this partition at this offset.
    Stored(i32, i64),
    /// The broker does not have the record.
    Failed(KafkaError),
    /// Must be sent behind an earlier record that failed. If that one is of the same lane, this one
    /// was not sent; if it is of the same user, the broker may have this one already.
    Held,
}

#[derive(Default)]
struct Round {
    outcomes: Vec<Sent>,
    sent: Vec<(usize, Lane, DeliveryFuture)>,
    failed: BTreeMap<Lane, KafkaError>,
}

impl Round {
    /// Waits for the outcomes of all records that were sent.
    async fn settle(&mut self) {
        for (index, lane, on_its_way) in std::mem::take(&mut self.sent) {
            let cause = match on_its_way.await {
                Ok(Ok(stored)) => {
                    self.outcomes[index] = Sent::Stored(stored.partition, stored.offset);
                    continue;
                }
                Ok(Err((cause, _))) => cause,
                Err(_) => KafkaError::Canceled,
            };
            self.outcomes[index] = Sent::Failed(cause.clone());
            self.failed.entry(lane).or_insert(cause);
        }
    }
}

/// Counts a stored record as held if an earlier one of the same user failed. It is sent again
/// behind that one, so that a user's records end in order.
fn hold_behind_failures(records: &[Outgoing], outcomes: &mut [Sent]) {
    let mut failed = BTreeSet::new();
    for (record, outcome) in records.iter().zip(outcomes) {
        match outcome {
            Sent::Failed(_) => drop(failed.insert(record.key.as_str())),
            Sent::Stored(..) if failed.contains(record.key.as_str()) => *outcome = Sent::Held,
            Sent::Stored(..) | Sent::Held => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> String {
        let topic = Topic {
            brokers: "127.0.0.1:9".into(),
            name: "rewards".into(),
            properties: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        };
        Publisher::new(&topic).err().expect("it is refused").to_string()
    }

    #[tokio::test]
    async fn settings_that_cannot_be_are_refused_by_name() {
        let reason = refused("no.such.property", "1");
        assert!(reason.contains("no.such.property"), "{reason}");
        let reason = refused("security.protocol", "carrier-pigeon");
        assert!(reason.contains("security.protocol"), "{reason}");
        for (name, why) in REFUSED {
            let reason = refused(name, "1");
            assert!(reason.contains(name) && reason.contains(why), "{reason}");
        }
    }
}
