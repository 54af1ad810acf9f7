//! The thread that polls: from records to chunks of work, and from committed chunks to offsets.

mod chunk;
mod failed;
mod headers;
mod pressure;
mod standing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use plaudit_actions::record::RawRecord;
use plaudit_event_store::SourcePosition;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, TopicPartitionList};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::SourcePartition;
use crate::applied_notes::Ends;
use crate::group::{GroupConsumer, Membership};
use crate::health::{IngestHealth, PartitionStanding, Subject};
use crate::options::IngestOptions;
use crate::partitions::Partitions;
use crate::route::Router;
use crate::survey::{Finding, Question};
use crate::tracker::{ChunkId, End, Tracker};
use crate::worker::Part;
use chunk::OpenChunk;
use pressure::Pressure;
use standing::list_at;

/// What the thread that polls is told.
#[derive(Debug)]
pub enum Signal {
    /// A part of a chunk is committed.
    PartDone(ChunkId),
    /// The broker was asked.
    Finding(Finding),
}

/// How many chunks may be in flight: one that is applied, one that waits for the workers, and two
/// more, so that a slow part of one does not stop the other workers.
const CHUNKS_IN_FLIGHT_MAX: usize = 4;
/// How long to wait for the next record with nothing else to do; bounds how late a signal is heard.
const IDLE: Duration = Duration::from_millis(50);
/// The same while chunks are in flight or a seek is pending.
const BUSY: Duration = Duration::from_millis(2);
/// After an error of a record's partition all are verified again, no more often than this.
const DOUBT_EVERY: Duration = Duration::from_millis(500);
/// How often the consumer's position is looked at while no record comes. A bound on how late the lag
/// reaches 0 behind a transaction.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// A partition takes no seek for a moment after it was assigned. After this long it never will.
const SEEK_TRIED_MAX: Duration = Duration::from_secs(5);

/// Everything the thread that polls needs.
pub struct Poller {
    pub options: Arc<IngestOptions>,
    pub router: Router,
    pub health: Arc<IngestHealth>,
    pub inbox: Receiver<Signal>,
    pub workers: Vec<UnboundedSender<Part>>,
    pub ends: watch::Sender<Ends>,
    pub questions: watch::Sender<Vec<Question>>,
    /// To end in order.
    pub stopped: CancellationToken,
    /// Nobody waits for a batch any longer: at the end, and when a worker is gone.
    pub abandoned: CancellationToken,
}

/// Why a consumer is not polled any longer.
enum Ended {
    Stopped,
    /// Only a new consumer helps.
    Failed(KafkaError),
}

impl Poller {
    /// Polls until it is told to stop, and then until what was begun is committed.
    pub fn run(self, first: GroupConsumer) {
        let pressure = Pressure::default();
        let partitions = Partitions::default();
        let open = OpenChunk::new(self.workers.len());
        let (tracker, pending) = (Tracker::default(), BTreeMap::new());
        let mut polling = Polling {
            poller: self,
            partitions,
            tracker,
            open,
            pressure,
            pending,
            pending_since: None,
            topics: HashMap::new(),
            followed_at: None,
            doubted_at: None,
            doubtful: false,
            denied: false,
        };
        let mut consumer = Some(first);
        loop {
            let current = consumer.take().map_or_else(|| polling.connect(), Ok);
            let ended = match &current {
                Ok(consumer) => polling.poll(consumer),
                Err(error) => Ended::Failed(error.clone()),
            };
            polling.forget_all();
            match ended {
                Ended::Stopped => {
                    if let Ok(consumer) = &current {
                        polling.drain(consumer);
                    }
                    return polling.poller.abandoned.cancel();
                }
                Ended::Failed(error) => {
                    let problem = format!("the Kafka consumer failed and is made anew: {error}");
                    polling.poller.health.report(Subject::Consumer, problem);
                    drop(current);
                    polling.wait(Duration::from_secs(2));
                }
            }
        }
    }
}

struct Polling {
    poller: Poller,
    partitions: Partitions,
    tracker: Tracker,
    open: OpenChunk,
    pressure: Pressure,
    /// Findings whose seek came too early, and since when there are any.
    pending: BTreeMap<SourcePartition, Finding>,
    pending_since: Option<Instant>,
    topics: HashMap<String, Arc<str>>,
    followed_at: Option<Instant>,
    doubted_at: Option<Instant>,
    /// A partition has failed, and Kafka's client does not say which.
    doubtful: bool,
    /// Kafka has said that we may not read, and nothing was read since.
    denied: bool,
}

/// Makes the consumer and joins the group.
pub fn connect(options: &IngestOptions, health: &Arc<IngestHealth>) -> KafkaResult<GroupConsumer> {
    let membership = Membership::new(options.brokers.clone(), Arc::clone(health));
    let consumer: GroupConsumer = options.consumer_config().create_with_context(membership)?;
    let topics: Vec<&str> = options.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

impl Polling {
    fn connect(&self) -> KafkaResult<GroupConsumer> {
        connect(&self.poller.options, &self.poller.health)
    }

    fn poll(&mut self, consumer: &GroupConsumer) -> Ended {
        while !self.poller.stopped.is_cancelled() {
            self.take_signals(consumer);
            if self.pending_since.is_some_and(|since| since.elapsed() > SEEK_TRIED_MAX) {
                return Ended::Failed(KafkaError::Seek("a partition takes no seek".to_owned()));
            }
            if self.tracker.in_flight() >= CHUNKS_IN_FLIGHT_MAX {
                if let Some(ended) = self.wait_for_room(consumer) {
                    return ended;
                }
                continue;
            }
            if self.pressure.relieved() {
                self.resume(consumer);
            }
            let polled = consumer.poll(self.patience());
            self.take_rebalanced(consumer);
            match polled {
                None => {
                    self.follow_position(consumer);
                    self.flush_if(OpenChunk::is_due_when_idle);
                }
                Some(Ok(message)) => {
                    self.allowed();
                    self.message(&message);
                    self.flush_if(OpenChunk::is_due);
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Ended::Failed(error);
                }
                Some(Err(error)) => self.poll_failed(&error),
            }
            self.doubt_if_due(consumer);
        }
        Ended::Stopped
    }

    fn patience(&self) -> Duration {
        match (self.tracker.in_flight(), self.open.is_empty()) {
            (0, false) => Duration::ZERO,
            (0, true) if self.pending.is_empty() => IDLE,
            _ => BUSY,
        }
    }

    fn message(&mut self, message: &BorrowedMessage<'_>) {
        let at =
            SourcePartition { topic: self.topic(message.topic()), partition: message.partition() };
        let offset = message.offset();
        let Some(incarnation) = self.partitions.hand_on(&at, offset) else { return };
        let headers = message.headers().map(headers::read).unwrap_or_default();
        let record = RawRecord {
            topic: message.topic(),
            partition: at.partition,
            offset,
            timestamp: message
                .timestamp()
                .to_millis()
                .and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            key: message.key(),
            headers,
            value: message.payload(),
        };
        let position = SourcePosition {
            topic: Arc::clone(&at.topic),
            incarnation,
            partition: at.partition,
            offset,
        };
        let items = self.poller.router.items(&record, &position);
        // Each user of a record may have a copy.
        let bytes = record.bytes() * items.len().max(1);
        self.open.add(at, End { incarnation, next_offset: offset + 1 }, items, bytes);
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.get(name) {
            return Arc::clone(topic);
        }
        let topic: Arc<str> = name.into();
        self.topics.insert(name.to_owned(), Arc::clone(&topic));
        topic
    }

    fn flush_if(&mut self, due: fn(&OpenChunk, &IngestOptions, usize) -> bool) {
        if due(&self.open, &self.poller.options, self.tracker.in_flight()) {
            self.flush();
        }
    }

    /// Gives the open chunk to the workers, each its lanes.
    fn flush(&mut self) {
        let (parts, ends) = self.open.take();
        let chunk = self.tracker.begin(parts.len(), ends);
        for (worker, items, gaps) in parts {
            // A worker that is gone was abandoned: then nothing is stored either.
            let _ = self.poller.workers[worker].send(Part { chunk, items, gaps });
        }
    }

    /// Hears what was committed and found, without waiting.
    fn take_signals(&mut self, consumer: &GroupConsumer) {
        while let Ok(signal) = self.poller.inbox.try_recv() {
            self.signal(signal, consumer);
        }
        for finding in std::mem::take(&mut self.pending).into_values() {
            self.finding(finding, consumer);
        }
        self.pending_since =
            (!self.pending.is_empty()).then(|| self.pending_since.unwrap_or_else(Instant::now));
        self.store_settled(consumer);
    }

    fn signal(&mut self, signal: Signal, consumer: &GroupConsumer) {
        match signal {
            Signal::PartDone(chunk) => self.tracker.part_done(chunk),
            Signal::Finding(finding) => self.finding(finding, consumer),
        }
    }

    /// Lets Kafka forget what is committed: now, and not a line earlier.
    fn store_settled(&mut self, consumer: &GroupConsumer) {
        let settled = self.tracker.settled();
        if settled.is_empty() {
            return;
        }
        for (at, end) in &settled {
            self.partitions.note_applied(at, end.next_offset);
            // By a list: the call for a single partition wants the last offset, not the next one.
            let stored =
                list_at(at, end.next_offset).and_then(|list| consumer.store_offsets(&list));
            // A partition that was lost meanwhile is refused, and read again by whoever has it.
            if let Err(error) = stored {
                tracing::debug!(%error, "the offset of {at} was not stored");
            }
        }
        self.poller.ends.send_modify(|ends| ends.extend(settled));
    }

    /// Waits until a chunk is committed. The queue of librdkafka is bounded, so that for a moment
    /// nothing needs to be done; then the partitions are paused, and the group sees us polling.
    fn wait_for_room(&mut self, consumer: &GroupConsumer) -> Option<Ended> {
        if self.pressure.is_too_long() {
            let running = self.running();
            tracing::warn!("the database is slower than Kafka: reading is paused");
            log_failure("pause", &consumer.pause(&running));
            self.pressure.pause();
            self.poller.health.set_paused(true);
        }
        match self.poller.inbox.recv_timeout(IDLE) {
            Ok(signal) => self.signal(signal, consumer),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if self.pressure.is_paused() {
            match consumer.poll(Duration::ZERO) {
                None => {}
                // Does not come from a paused partition; it is kept all the same.
                Some(Ok(message)) => self.message(&message),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Some(Ended::Failed(error));
                }
                Some(Err(error)) => self.poll_failed(&error),
            }
            self.take_rebalanced(consumer);
        }
        None
    }

    fn resume(&mut self, consumer: &GroupConsumer) {
        tracing::info!("reading goes on");
        self.poller.health.set_paused(false);
        log_failure("resume", &consumer.resume(&self.running()));
    }

    fn running(&self) -> TopicPartitionList {
        let running =
            self.partitions.iter().filter(|(_, a)| a.standing == PartitionStanding::Running);
        let mut list = TopicPartitionList::new();
        for (at, _) in running {
            list.add_partition(&at.topic, at.partition);
        }
        list
    }

    /// Waits for the chunks in flight, and stores what they settle. What was not yet given to the
    /// workers is read again by whoever comes next.
    fn drain(&mut self, consumer: &GroupConsumer) {
        let deadline = Instant::now() + self.poller.options.drain_patience;
        while self.tracker.in_flight() > 0
            && Instant::now() < deadline
            && !self.poller.abandoned.is_cancelled()
        {
            if let Ok(Signal::PartDone(chunk)) = self.poller.inbox.recv_timeout(IDLE) {
                self.tracker.part_done(chunk);
            }
            self.store_settled(consumer);
        }
        if self.tracker.in_flight() > 0 {
            tracing::warn!("stopped with batches that are not committed; they are read again");
        }
        // What was stored is committed when the consumer is closed, which dropping it does.
    }

    /// Waits with no consumer, while parts may still be committed.
    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.poller.stopped.is_cancelled() {
            if let Ok(Signal::PartDone(chunk)) = self.poller.inbox.recv_timeout(IDLE) {
                self.tracker.part_done(chunk);
                self.poller.ends.send_modify(|ends| ends.extend(self.tracker.settled()));
            }
        }
    }
}

fn log_failure(what: &str, result: &KafkaResult<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "could not {what} partitions");
    }
}
