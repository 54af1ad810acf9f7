//! Reads the last records of a topic beside the group, for `plaudit sources try --topic`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plaudit_actions::record::OwnedRecord;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::error::{IngestError, check};
use crate::message;
use crate::options::IngestOptions;
use crate::source_partition::SourcePartition;
use crate::topic_monitor;
use crate::topic_monitor::broker::Broker;

/// Time limit for reading. The records read until then are shown.
const READ_MAX: Duration = Duration::from_secs(15);
/// Time limit for one poll, after which the deadline is checked.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The reason why no records were read.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The Kafka client or its settings fail.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// No broker answers, it refuses the request, or the topic does not exist.
    #[error("{0}")]
    Broker(String),
}

impl From<KafkaError> for PreviewError {
    fn from(error: KafkaError) -> Self {
        Self::Ingest(error.into())
    }
}

/// Reads the last records of a topic, over all partitions, oldest first. Joins no group and commits
/// nothing. May return fewer than `count` if the topic has transactions or is compacted.
pub async fn last_records(
    options: &IngestOptions,
    topic: &str,
    count: usize,
) -> Result<Vec<OwnedRecord>, PreviewError> {
    let options = IngestOptions { topics: vec![topic.to_owned()], ..options.clone() };
    check(&options)?;
    let topic = topic.to_owned();
    tokio::task::spawn_blocking(move || read(&options, &topic, count))
        .await
        .unwrap_or_else(|_| Err(PreviewError::Broker("reading the topic failed".to_owned())))
}

fn read(
    options: &IngestOptions,
    topic: &str,
    count: usize,
) -> Result<Vec<OwnedRecord>, PreviewError> {
    let broker = Broker::new(options)?;
    let unreachable =
        |e: KafkaError| PreviewError::Broker(topic_monitor::unreachable(options, &e, &broker));
    let partitions = broker
        .partitions(topic)
        .map_err(unreachable)?
        .ok_or_else(|| PreviewError::Broker(format!("the topic {topic} does not exist")))?;
    let mut assigned = TopicPartitionList::new();
    let mut open = BTreeSet::new();
    let requested = i64::try_from(count).unwrap_or(i64::MAX);
    for partition in partitions {
        let at = SourcePartition { topic: topic.into(), partition: partition.id };
        let marks = broker.watermarks(&at).map_err(unreachable)?;
        if marks.high > marks.low {
            let start = marks.low.max(marks.high - requested);
            assigned.add_partition_offset(topic, partition.id, Offset::Offset(start))?;
            open.insert(partition.id);
        }
    }
    let consumer: BaseConsumer = config(options).create()?;
    consumer.assign(&assigned)?;
    let mut last = Last { records: Vec::new(), count };
    let deadline = Instant::now() + READ_MAX;
    while !open.is_empty() && Instant::now() < deadline {
        match consumer.poll(POLL_TIMEOUT) {
            Some(Ok(message)) => last.add(OwnedRecord::from(&message::as_record(&message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => tracing::debug!(%error, "while the last records are read"),
            None => {}
        }
    }
    if last.records.is_empty() && !open.is_empty() {
        let seconds = READ_MAX.as_secs();
        return Err(PreviewError::Broker(format!("{topic} gave no record within {seconds} s")));
    }
    Ok(last.take())
}

fn config(options: &IngestOptions) -> ClientConfig {
    let mut config = options.monitor_config();
    config.set("enable.partition.eof", "true");
    config.set("auto.offset.reset", "earliest");
    config
}

/// Keeps the last `count` of the records that are added.
struct Last {
    records: Vec<OwnedRecord>,
    count: usize,
}

impl Last {
    fn add(&mut self, record: OwnedRecord) {
        self.records.push(record);
        if self.records.len() >= self.count.saturating_mul(2).max(16) {
            self.cut();
        }
    }

    fn take(mut self) -> Vec<OwnedRecord> {
        self.cut();
        self.records
    }

    fn cut(&mut self) {
        self.records.sort_by_key(|record| {
            let record = record.as_raw();
            (record.timestamp, record.partition, record.offset)
        });
        self.records.drain(..self.records.len().saturating_sub(self.count));
    }
}
