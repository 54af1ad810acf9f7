//! The consumer's side of the group: which partitions are assigned and revoked.

use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::log_failure;
use crate::connection_error::ConnectionError;
use crate::health::{IngestHealth, Subject};
use crate::options::IngestOptions;
use crate::source_partition::SourcePartition;

pub type GroupConsumer = BaseConsumer<Membership>;

/// A change by the consumer group.
#[derive(Debug)]
pub enum Rebalanced {
    Assigned(Vec<SourcePartition>),
    Revoked(Vec<SourcePartition>),
}

/// The callbacks of librdkafka. They run on the polling thread.
pub struct Membership {
    brokers: String,
    connection: ConnectionError,
    health: Arc<IngestHealth>,
    rebalanced: Mutex<Vec<Rebalanced>>,
}

/// Creates the client and joins the group.
pub fn connect(options: &IngestOptions, health: &Arc<IngestHealth>) -> KafkaResult<GroupConsumer> {
    let membership = Membership::new(options.brokers.clone(), Arc::clone(health));
    let client: GroupConsumer = options.consumer_config().create_with_context(membership)?;
    let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    client.subscribe(&topics)?;
    Ok(client)
}

impl Membership {
    pub fn new(brokers: String, health: Arc<IngestHealth>) -> Self {
        Self {
            brokers,
            connection: ConnectionError::default(),
            health,
            rebalanced: Mutex::default(),
        }
    }

    /// Takes the changes since the last call, in order.
    pub fn take_rebalanced(&self) -> Vec<Rebalanced> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Rebalanced>> {
        self.rebalanced.lock().expect("nothing panics while it holds the lock")
    }
}

impl ClientContext for Membership {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, "Kafka client: {message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "Kafka client: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.note(&error, reason);
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.health.report(Subject::Broker, self.connection.describe(&self.brokers));
        } else {
            tracing::debug!(%error, "Kafka client: {reason}");
        }
    }
}

impl ConsumerContext for Membership {
    /// Assigns the partitions that the group gives, but paused: no record is handed on before the
    /// partition was compared with what was read before.
    ///
    /// The start offset is set later, by a seek. If the seek is lost, reading begins at the
    /// earliest record, which only costs time. Failures here only cost time too: a partition that
    /// was not assigned is not read, and one that was not unassigned is read by two processes.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let changed = listed(partitions);
        if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            log_failure("assign", &assign(consumer, partitions));
            self.lock().push(Rebalanced::Assigned(changed));
        } else {
            log_failure("unassign", &unassign(consumer, partitions));
            self.lock().push(Rebalanced::Revoked(changed));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            // `NoOffset` means that nothing was stored since the last commit.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::debug!(%error, "offsets were not committed; it is tried again"),
        }
    }
}

fn is_incremental(consumer: &GroupConsumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Assigns partitions, paused.
fn assign(consumer: &GroupConsumer, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
    partitions.set_all_offsets(Offset::Beginning)?;
    if is_incremental(consumer) {
        consumer.incremental_assign(partitions)?;
    } else {
        consumer.assign(partitions)?;
    }
    consumer.pause(partitions)
}

fn unassign(consumer: &GroupConsumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    if is_incremental(consumer) {
        consumer.incremental_unassign(partitions)
    } else {
        consumer.unassign()
    }
}

/// Assigns all partitions again, paused, without the group's knowledge. After an error librdkafka is
/// stuck in a partition and refuses even a seek there.
pub fn reassign(consumer: &GroupConsumer, mut all: TopicPartitionList) {
    let assigned = unassign(consumer, &all).and_then(|()| assign(consumer, &mut all));
    log_failure("assign again", &assigned);
}

fn listed(partitions: &TopicPartitionList) -> Vec<SourcePartition> {
    let elements = partitions.elements();
    let at = |e: &TopicPartitionListElem<'_>| SourcePartition {
        topic: e.topic().into(),
        partition: e.partition(),
    };
    elements.iter().map(at).collect()
}
