//! The consumer's side of the group: which partitions it is given, and which are taken away.

use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::SourcePartition;
use crate::health::{IngestHealth, Subject};

pub type GroupConsumer = BaseConsumer<Membership>;

/// What the group changed.
#[derive(Debug)]
pub enum Rebalanced {
    Assigned(Vec<SourcePartition>),
    Revoked(Vec<SourcePartition>),
}

/// What librdkafka calls back, on the thread that polls.
pub struct Membership {
    brokers: String,
    health: Arc<IngestHealth>,
    rebalanced: Mutex<Vec<Rebalanced>>,
}

impl Membership {
    pub fn new(brokers: String, health: Arc<IngestHealth>) -> Self {
        Self { brokers, health, rebalanced: Mutex::default() }
    }

    /// What happened since the last call, in order.
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
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            let problem = format!("no Kafka broker answers at {}", self.brokers);
            self.health.report(Subject::Broker, problem);
        } else {
            tracing::debug!(%error, "Kafka client: {reason}");
        }
    }
}

impl ConsumerContext for Membership {
    /// Takes what the group gives, but holds it until it was compared with what was read before:
    /// whatever would be read until then is not handed on.
    ///
    /// The place to begin is set afterwards, by a seek. Should that get lost, reading begins at the
    /// earliest record, which costs time and nothing else. Errors cost as much: a partition that
    /// was not taken is not read, one that was not given up is read by two.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let changed = listed(partitions);
        if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            log_failure("take", &take(consumer, partitions));
            self.lock().push(Rebalanced::Assigned(changed));
        } else {
            log_failure("give up", &give_up(consumer, partitions));
            self.lock().push(Rebalanced::Revoked(changed));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        match result {
            // Without an offset: nothing was stored since.
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::debug!(%error, "offsets were not committed; it is tried again"),
        }
    }
}

fn is_incremental(consumer: &GroupConsumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Takes partitions, but reads none of them yet.
fn take(consumer: &GroupConsumer, partitions: &mut TopicPartitionList) -> KafkaResult<()> {
    partitions.set_all_offsets(Offset::Beginning)?;
    if is_incremental(consumer) {
        consumer.incremental_assign(partitions)?;
    } else {
        consumer.assign(partitions)?;
    }
    consumer.pause(partitions)
}

fn give_up(consumer: &GroupConsumer, partitions: &TopicPartitionList) -> KafkaResult<()> {
    if is_incremental(consumer) {
        consumer.incremental_unassign(partitions)
    } else {
        consumer.unassign()
    }
}

/// Takes all partitions anew, unread, without a word to the group. After an error librdkafka stands
/// still in a partition, and not even a seek is taken there.
pub fn take_anew(consumer: &GroupConsumer, mut all: TopicPartitionList) {
    let taken = give_up(consumer, &all).and_then(|()| take(consumer, &mut all));
    log_failure("take anew", &taken);
}

fn listed(partitions: &TopicPartitionList) -> Vec<SourcePartition> {
    let elements = partitions.elements();
    let at = |e: &TopicPartitionListElem<'_>| SourcePartition {
        topic: e.topic().into(),
        partition: e.partition(),
    };
    elements.iter().map(at).collect()
}

fn log_failure(what: &str, result: &KafkaResult<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "could not {what} partitions as the group said");
    }
}
