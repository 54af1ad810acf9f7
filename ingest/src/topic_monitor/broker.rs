//! Questions to the broker about topics and offsets. Blocks: call it on a thread that may block.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rdkafka::Message as _;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{Offset, TopicPartitionList};

use crate::connection_error::ConnectionError;
use crate::offsets::partition_state::Watermarks;
use crate::options::IngestOptions;
use crate::source_partition::SourcePartition;

/// The most events taken from the queue at once.
const EVENTS_MAX: usize = 1000;
/// Time limit for the next event. Without a wait, a log line, which is an event too, would look
/// like the end of the queue.
const EVENT_TIMEOUT: Duration = Duration::from_millis(100);
/// Time limit for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that joins no group.
pub struct Broker {
    consumer: BaseConsumer<Quiet>,
    /// Time at which a broker last answered a question.
    answered_at: Mutex<Option<Instant>>,
}

/// A partition of a topic and its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionOf {
    pub id: i32,
    /// The id of the broker that leads it; absent while there is none.
    pub leader: Option<i32>,
}

/// The committed offsets of the group, and the partitions for which the broker returned an error.
#[derive(Debug, Default)]
pub struct Committed {
    pub offsets: HashMap<SourcePartition, i64>,
    pub refused: HashMap<SourcePartition, KafkaError>,
}

/// Drops this client's log lines; the consumer logs the same.
#[derive(Default)]
pub struct Quiet {
    connection: ConnectionError,
}

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.note(&error, reason);
        tracing::debug!(%error, "{reason}");
    }
}

impl ConsumerContext for Quiet {}

impl Broker {
    /// Creates a client. It connects later: a missing broker shows with the first question.
    pub fn new(options: &IngestOptions) -> KafkaResult<Self> {
        let consumer = options.monitor_config().create_with_context(Quiet::default())?;
        Ok(Self { consumer, answered_at: Mutex::default() })
    }

    /// Returns the time at which any broker last answered a question.
    pub fn answered_at(&self) -> Option<Instant> {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_answer(&self) {
        *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Describes why no broker in the list can be used.
    pub fn describe_error(&self, brokers: &str) -> String {
        // The reasons arrive as events, which only this loop takes.
        for _ in 0..EVENTS_MAX {
            if self.consumer.poll(EVENT_TIMEOUT).is_none() {
                break;
            }
        }
        self.consumer.context().connection.describe(brokers)
    }

    /// Returns the partitions of a topic, or `None` if the topic does not exist.
    pub fn partitions(&self, topic: &str) -> KafkaResult<Option<Vec<PartitionOf>>> {
        let metadata = match self.consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT) {
            Err(error) if is_unknown(&error) => return Ok(None),
            metadata => metadata?,
        };
        self.note_answer();
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let Some(found) = found else { return Ok(None) };
        if let Some(error) = found.error() {
            let error = KafkaError::MetadataFetch(error.into());
            return if is_unknown(&error) { Ok(None) } else { Err(error) };
        }
        let partition = |found: &MetadataPartition| PartitionOf {
            id: found.id(),
            leader: Some(found.leader()).filter(|leader| *leader >= 0),
        };
        let partitions: Vec<PartitionOf> = found.partitions().iter().map(partition).collect();
        Ok(Some(partitions).filter(|partitions| !partitions.is_empty()))
    }

    /// Returns each partition's first offset whose record has a timestamp at or after `since`.
    /// Partitions without such a record are left out.
    pub fn offsets_since(
        &self,
        partitions: &[SourcePartition],
        since: Timestamp,
    ) -> KafkaResult<HashMap<SourcePartition, i64>> {
        let mut list = TopicPartitionList::new();
        let at = Offset::Offset(since.as_millisecond().max(0));
        for partition in partitions {
            list.add_partition_offset(&partition.topic, partition.partition, at)?;
        }
        let found = self.consumer.offsets_for_times(list, ANSWER_TIMEOUT)?;
        let mut offsets = HashMap::new();
        for element in found.elements() {
            element.error()?;
            if let Offset::Offset(offset) = element.offset() {
                let (topic, partition) = (element.topic().into(), element.partition());
                offsets.insert(SourcePartition { topic, partition }, offset);
            }
        }
        Ok(offsets)
    }

    /// Returns the timestamp of a partition's first record at or after an offset, or `None` if the
    /// record has none or does not arrive in time.
    pub fn timestamp_at(
        &self,
        at: &SourcePartition,
        offset: i64,
    ) -> KafkaResult<Option<Timestamp>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(offset))?;
        self.consumer.assign(&list)?;
        let began = Instant::now();
        let mut found = None;
        while found.is_none() && began.elapsed() < ANSWER_TIMEOUT {
            if let Some(Ok(message)) = self.consumer.poll(EVENT_TIMEOUT) {
                found = Some(message.timestamp().to_millis());
            }
        }
        self.consumer.unassign()?;
        Ok(found.flatten().and_then(|ms| Timestamp::from_millisecond(ms).ok()))
    }

    /// Returns the watermarks of a partition.
    pub fn watermarks(&self, at: &SourcePartition) -> KafkaResult<Watermarks> {
        let (low, high) =
            self.consumer.fetch_watermarks(&at.topic, at.partition, ANSWER_TIMEOUT)?;
        self.note_answer();
        Ok(Watermarks { low, high })
    }

    /// Returns the group's committed offsets of these partitions.
    pub fn committed(&self, partitions: &[SourcePartition]) -> KafkaResult<Committed> {
        let mut found = Committed::default();
        if partitions.is_empty() {
            return Ok(found);
        }
        let mut list = TopicPartitionList::new();
        for at in partitions {
            list.add_partition(&at.topic, at.partition);
        }
        let committed = self.consumer.committed_offsets(list, ANSWER_TIMEOUT)?;
        self.note_answer();
        for element in committed.elements() {
            let at =
                SourcePartition { topic: element.topic().into(), partition: element.partition() };
            match (element.error(), element.offset()) {
                (Err(error), _) => {
                    found.refused.insert(at, error);
                }
                (Ok(()), Offset::Offset(offset)) => {
                    found.offsets.insert(at, offset);
                }
                (Ok(()), _) => {}
            }
        }
        Ok(found)
    }
}

/// Returns true if the error means that no broker answers, or not the one asked.
pub fn is_of_the_broker(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
        )
    )
}

/// Returns true if the error means that the topic or partition does not exist.
pub fn is_unknown(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}
