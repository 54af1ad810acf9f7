//! Reads the records of a plan in chunks. Blocks: call it on a thread that may block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_actions::record::OwnedRecord;
use plaudit_event_store::SourcePosition;
use plaudit_event_store::backfills::BackfillPartition;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::mapped_room::record_bytes;
use crate::message::as_record;
use crate::options::IngestOptions;
use crate::topic_monitor::broker::Quiet;
use crate::topic_monitor::recreated;

/// Size limits of a chunk: a number of records, and about so many bytes of memory, each record
/// charged by what it takes once it is parsed.
pub const RECORDS_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Time limit for gathering a chunk.
const GATHER_MAX: Duration = Duration::from_secs(1);

/// Time limit for one poll.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Time limit for one answer of the broker.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer without a group that reads the planned partitions.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    partitions: Vec<BackfillPartition>,
    /// The topics of `partitions`, shared by the positions of their records.
    topics: Vec<Arc<str>>,
}

/// Some records in order, and the progress of the partitions after them.
pub struct Chunk {
    pub records: Vec<(SourcePosition, OwnedRecord)>,
    pub partitions: Vec<BackfillPartition>,
}

impl Reader {
    /// Opens a reader that begins at each partition's `next_offset`.
    pub fn open(
        options: &IngestOptions,
        partitions: Vec<BackfillPartition>,
    ) -> Result<Self, String> {
        let consumer = options.backfill_config().create_with_context(Quiet::default());
        let topics = partitions.iter().map(|p| p.topic.as_str().into()).collect();
        let mut reader = Self { consumer: consumer.map_err(|e| said(&e))?, partitions, topics };
        reader.begin()?;
        Ok(reader)
    }

    /// Returns true once every partition is read to its planned end.
    pub fn is_done(&self) -> bool {
        self.partitions.iter().all(is_read)
    }

    /// Assigns the partitions with unread records. Records that Kafka has removed meanwhile are
    /// skipped and count as lost.
    fn begin(&mut self) -> Result<(), String> {
        let mut list = TopicPartitionList::new();
        for p in self.partitions.iter_mut().filter(|p| !is_read(p)) {
            let marks = self.consumer.fetch_watermarks(&p.topic, p.partition, ANSWER_TIMEOUT);
            let (low, high) = marks.map_err(|e| said(&e))?;
            if high < p.end_offset {
                return Err(recreated(&p.topic));
            }
            let first = low.min(p.end_offset);
            if first > p.next_offset {
                tracing::warn!(
                    topic = p.topic,
                    partition = p.partition,
                    "Kafka has removed the records {} to {} before a backfill read them",
                    p.next_offset,
                    first - 1
                );
                p.lost += first - p.next_offset;
                p.next_offset = first;
            }
            if !is_read(p) {
                let added =
                    list.add_partition_offset(&p.topic, p.partition, Offset::Offset(p.next_offset));
                added.map_err(|e| said(&e))?;
            }
        }
        self.consumer.assign(&list).map_err(|e| said(&e))
    }

    /// Reads the next chunk, which may be empty.
    pub fn read(&mut self) -> Result<Chunk, String> {
        let (began, mut bytes, mut records) = (Instant::now(), 0, Vec::new());
        while records.len() < RECORDS_MAX && bytes < BYTES_MAX && !self.is_done() {
            match self.consumer.poll(POLL_TIMEOUT) {
                Some(Ok(message)) => {
                    let taken = take(&message, &mut self.partitions, &self.topics, &self.consumer);
                    let Some((at, record)) = taken.map_err(|e| said(&e))? else { continue };
                    bytes += record_bytes(message.payload_len(), message.payload());
                    records.push((at, record));
                }
                Some(Err(error)) if is_out_of_range(&error) => self.begin()?,
                Some(Err(error)) => return Err(said(&error)),
                None if !records.is_empty() => break,
                None => {}
            }
            if began.elapsed() > GATHER_MAX {
                break;
            }
        }
        // Transaction markers and aborted records take up offsets, but are not delivered as
        // records.
        if records.is_empty() {
            self.follow_position();
        }
        Ok(Chunk { records, partitions: self.partitions.clone() })
    }

    fn follow_position(&mut self) {
        let Ok(positions) = self.consumer.position() else { return };
        for element in positions.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            let is_it = |p: &&mut BackfillPartition| {
                !is_read(p) && p.topic == element.topic() && p.partition == element.partition()
            };
            if let Some(p) = self.partitions.iter_mut().find(is_it) {
                p.next_offset = p.next_offset.max(offset.min(p.end_offset));
            }
        }
    }
}

/// Converts a message and moves its partition on. Returns `None` for a record outside the plan.
fn take(
    message: &BorrowedMessage<'_>,
    partitions: &mut [BackfillPartition],
    topics: &[Arc<str>],
    consumer: &BaseConsumer<Quiet>,
) -> KafkaResult<Option<(SourcePosition, OwnedRecord)>> {
    let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
    // An earlier incarnation of the topic is planned as read.
    let is_it = |p: &BackfillPartition| !is_read(p) && p.topic == topic && p.partition == partition;
    let Some(index) = partitions.iter().position(is_it) else { return Ok(None) };
    let p = &mut partitions[index];
    let is_planned = (p.next_offset..p.end_offset).contains(&offset);
    p.next_offset = p.next_offset.max((offset + 1).min(p.end_offset));
    if is_read(p) {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        consumer.pause(&list)?;
    }
    if !is_planned {
        return Ok(None);
    }
    let at = SourcePosition {
        topic: Arc::clone(&topics[index]),
        incarnation: p.incarnation,
        partition,
        offset,
    };
    Ok(Some((at, OwnedRecord::from(&as_record(message)))))
}

fn is_read(p: &BackfillPartition) -> bool {
    p.next_offset >= p.end_offset
}

fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}

fn said(error: &KafkaError) -> String {
    format!("Kafka: {error}")
}
