//! The polling thread: turns records into batches, and stores offsets once batches are committed.

mod assignment;
mod backpressure;
mod crowding;
mod membership;
mod poll_error;
mod polled_batch;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use plaudit_actions::record::OwnedRecord;
use plaudit_domain::lane::LaneCount;
use plaudit_event_store::SourcePosition;
use rdkafka::Message as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::health::{IngestHealth, Subject};
use crate::mapped_room::record_bytes;
use crate::mapper::MapperBatch;
use crate::message;
use crate::offsets::assigned_partitions::AssignedPartitions;
use crate::offsets::query::{OffsetQuery, OffsetReport};
use crate::offsets::tracker::{BatchId, Load, NextOffsets, Tracker};
use crate::options::IngestOptions;
use crate::signal::{MappedPart, Signal};
use crate::source_partition::SourcePartition;
use assignment::list_at;
use backpressure::Backpressure;
use crowding::Crowding;
pub use membership::{GroupConsumer, connect};
use polled_batch::PolledBatch;

/// Batches of records that may be in flight: one being applied, one waiting for the workers, and
/// two more, so that one slow share of a batch does not stop the other workers.
const BATCHES_IN_FLIGHT: usize = 4;
/// Bytes of memory that records and their items in flight may take, over all lanes and mappers.
/// Each is charged by what it takes once it is parsed.
const BYTES_IN_FLIGHT_MAX: usize = 32 * 1024 * 1024;
/// Time limit for a poll with nothing else to do. A signal may wait this long.
const POLL_WHEN_IDLE: Duration = Duration::from_millis(50);
/// Time limit for a poll while batches are in flight or a seek is pending.
const POLL_WHEN_BUSY: Duration = Duration::from_millis(2);
/// Minimum interval between two verifications of all partitions after errors.
const VERIFY_EVERY: Duration = Duration::from_millis(500);
/// Interval between looks at the consumer's position while no record arrives. After a transaction,
/// the lag takes this long to reach 0.
const FOLLOW_EVERY: Duration = Duration::from_millis(100);
/// Pause of a partition before a record with an unavailable schema is tried again.
const WITHHELD_FOR: Duration = Duration::from_secs(1);
/// Time limit for seeks. A partition refuses a seek for a moment after its assignment; one that
/// refuses for this long never accepts it.
const SEEK_TRIED_MAX: Duration = Duration::from_secs(5);

/// The context of the polling thread.
pub struct Consumer {
    pub options: Arc<IngestOptions>,
    pub lane_count: LaneCount,
    pub health: Arc<IngestHealth>,
    pub signals: Receiver<Signal>,
    pub mappers: Vec<Sender<(BatchId, MapperBatch)>>,
    pub progress: watch::Sender<NextOffsets>,
    pub queries: watch::Sender<Vec<OffsetQuery>>,
    /// Cancelled for an orderly stop.
    pub stopped: CancellationToken,
    /// Cancelled once no part waits for a batch any longer: at the end, or after a part has failed.
    pub abandoned: CancellationToken,
}

/// The reason why a client is no longer polled.
enum Ended {
    Stopped,
    /// The client is unusable; a new one is needed.
    Failed(KafkaError),
}

impl Consumer {
    /// Polls until `stopped` is cancelled, then waits until the batches in flight are committed.
    pub fn run(self, first: GroupConsumer) {
        let batch = PolledBatch::new(self.mappers.len());
        let mut polling = Polling {
            context: self,
            partitions: AssignedPartitions::default(),
            tracker: Tracker::default(),
            batch,
            backpressure: Backpressure::default(),
            crowding: Crowding::default(),
            load_changed: false,
            pending: BTreeMap::new(),
            pending_since: None,
            withheld: BTreeMap::new(),
            topics: HashMap::new(),
            followed_at: None,
            verified_at: None,
            needs_verification: false,
            authorization_failed: false,
        };
        let mut client = Some(first);
        loop {
            let current = client.take().map_or_else(|| polling.connect(), Ok);
            let ended = match &current {
                Ok(client) => polling.poll(client),
                Err(error) => Ended::Failed(error.clone()),
            };
            polling.forget_all();
            match ended {
                Ended::Stopped => {
                    if let Ok(client) = &current {
                        polling.drain(client);
                    }
                    return polling.context.abandoned.cancel();
                }
                Ended::Failed(error) => {
                    let problem = format!("the Kafka consumer failed and is made again: {error}");
                    polling.context.health.report(Subject::Consumer, problem);
                    drop(current);
                    polling.wait(Duration::from_secs(2));
                }
            }
        }
    }
}

/// The state of the polling thread.
struct Polling {
    context: Consumer,
    partitions: AssignedPartitions,
    tracker: Tracker,
    /// Records that were polled and not yet handed to the mappers.
    batch: PolledBatch,
    backpressure: Backpressure,
    crowding: Crowding,
    /// True if the work in flight has changed since crowded lanes were last computed.
    load_changed: bool,
    /// Reports whose seek was refused for now, and since when there have been any.
    pending: BTreeMap<SourcePartition, OffsetReport>,
    pending_since: Option<Instant>,
    /// Partitions that wait for a schema, and since when.
    withheld: BTreeMap<SourcePartition, Instant>,
    topics: HashMap<String, Arc<str>>,
    followed_at: Option<Instant>,
    verified_at: Option<Instant>,
    /// True after an error of some partition; the Kafka client does not say which.
    needs_verification: bool,
    /// True after Kafka has denied access, until a record is read.
    authorization_failed: bool,
}

impl Polling {
    fn connect(&self) -> KafkaResult<GroupConsumer> {
        connect(&self.context.options, &self.context.health)
    }

    fn poll(&mut self, client: &GroupConsumer) -> Ended {
        while !self.context.stopped.is_cancelled() {
            self.take_signals(client);
            self.try_withheld();
            self.hold_back(client);
            if self.pending_since.is_some_and(|since| since.elapsed() > SEEK_TRIED_MAX) {
                return Ended::Failed(KafkaError::Seek("a partition takes no seek".to_owned()));
            }
            if !self.has_room() {
                if let Some(ended) = self.wait_for_room(client) {
                    return ended;
                }
                continue;
            }
            if self.backpressure.relieve() {
                self.resume(client);
            }
            let polled = client.poll(self.poll_timeout());
            self.take_rebalanced(client);
            match polled {
                None => {
                    self.follow_position(client);
                    self.hand_over_if(PolledBatch::is_due_when_idle);
                }
                Some(Ok(message)) => {
                    self.authorized();
                    self.message(&message);
                    self.hand_over_if(PolledBatch::is_due);
                }
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Ended::Failed(error);
                }
                Some(Err(error)) => self.poll_failed(&error),
            }
            self.reverify_if_due(client);
        }
        Ended::Stopped
    }

    fn poll_timeout(&self) -> Duration {
        match (self.tracker.is_idle(), self.batch.is_empty()) {
            (true, false) => Duration::ZERO,
            (true, true) if self.pending.is_empty() => POLL_WHEN_IDLE,
            _ => POLL_WHEN_BUSY,
        }
    }

    /// True if another batch may be put in flight.
    fn has_room(&self) -> bool {
        let load = self.tracker.load();
        load.items < BATCHES_IN_FLIGHT * self.context.options.batch_max
            && load.bytes < BYTES_IN_FLIGHT_MAX
    }

    fn message(&mut self, message: &BorrowedMessage<'_>) {
        let at =
            SourcePartition { topic: self.topic(message.topic()), partition: message.partition() };
        let offset = message.offset();
        let Some(incarnation) = self.partitions.hand_on(&at, offset) else { return };
        let pass = self.partitions.pass_of(&at);
        let record = message::as_record(message);
        let position =
            SourcePosition { topic: at.topic, incarnation, partition: at.partition, offset };
        let bytes = record_bytes(record.bytes(), record.value);
        self.batch.add(position, pass, OwnedRecord::from(&record), bytes);
    }

    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some(topic) = self.topics.get(name) {
            return Arc::clone(topic);
        }
        let topic: Arc<str> = name.into();
        self.topics.insert(name.to_owned(), Arc::clone(&topic));
        topic
    }

    fn hand_over_if(&mut self, due: fn(&PolledBatch, &IngestOptions, Load) -> bool) {
        if due(&self.batch, &self.context.options, self.tracker.load()) {
            self.hand_over();
        }
    }

    /// Hands the batch to the mappers, each with its own partitions.
    fn hand_over(&mut self) {
        let (batches, next_offsets) = self.batch.take();
        let records = batches.iter().map(|(_, batch)| batch.polled.len()).sum();
        let bytes = batches.iter().map(|(_, batch)| batch.bytes).sum();
        let id = self.tracker.begin(batches.len(), records, bytes, next_offsets);
        for (mapper, batch) in batches {
            // A mapper's thread ends only once its session is abandoned; its offsets are then not
            // stored.
            let _ = self.context.mappers[mapper].send((id, batch));
        }
    }

    /// Handles the signals that have arrived, retries pending reports and stores offsets. Does not
    /// wait.
    fn take_signals(&mut self, client: &GroupConsumer) {
        while let Ok(signal) = self.context.signals.try_recv() {
            self.signal(signal, client);
        }
        for report in std::mem::take(&mut self.pending).into_values() {
            self.report(report, client);
        }
        self.pending_since =
            (!self.pending.is_empty()).then(|| self.pending_since.unwrap_or_else(Instant::now));
        self.store_offsets(client);
    }

    fn signal(&mut self, signal: Signal, client: &GroupConsumer) {
        match self.track(signal) {
            Some(Signal::Report(report)) => self.report(report, client),
            Some(Signal::Withheld { at, pass, why }) => self.withhold(at, pass, &why, client),
            _ => {}
        }
    }

    /// Updates the tracker from a signal. Returns the signal if it also needs the client.
    fn track(&mut self, signal: Signal) -> Option<Signal> {
        match signal {
            Signal::PartlyMapped(MappedPart { batch, records, bytes, shares, feeders }) => {
                self.tracker.partly_mapped(batch, records, bytes, &shares);
                self.note_feeders(feeders);
                None
            }
            Signal::Mapped(MappedPart { batch, records, bytes, shares, feeders }) => {
                self.tracker.mapped(batch, records, bytes, &shares);
                self.note_feeders(feeders);
                None
            }
            Signal::Applied { batch, share } => {
                self.tracker.applied(batch, &share);
                self.load_changed = true;
                None
            }
            Signal::Withheld { ref at, .. } => {
                self.forget(at);
                Some(signal)
            }
            Signal::Report(_) => Some(signal),
        }
    }

    /// Stores the offsets of committed batches. Must follow the database commit.
    fn store_offsets(&mut self, client: &GroupConsumer) {
        let committable = self.tracker.committable_offsets();
        if committable.is_empty() {
            return;
        }
        for (at, next) in &committable {
            self.partitions.note_applied(at, next.offset);
            // Stored by a list: the call for one partition expects the last offset, not the next
            // one.
            let stored = list_at(at, next.offset).and_then(|list| client.store_offsets(&list));
            // Storing fails for a partition that was revoked meanwhile; its new owner reads it
            // again.
            if let Err(error) = stored {
                tracing::debug!(%error, "the offset of {at} was not stored");
            }
        }
        self.context.progress.send_modify(|progress| progress.extend(committable));
    }

    /// Waits for a batch to be committed. librdkafka's queue is bounded, so a short wait needs
    /// nothing else. After a longer one the partitions are paused and polling goes on, so that the
    /// group does not take this member for dead.
    fn wait_for_room(&mut self, client: &GroupConsumer) -> Option<Ended> {
        if self.backpressure.must_pause() {
            let running = self.running();
            tracing::warn!("the database is slower than Kafka: reading is paused");
            log_failure("pause", &client.pause(&running));
            self.backpressure.pause();
            self.context.health.set_paused(true);
        }
        match self.context.signals.recv_timeout(POLL_WHEN_IDLE) {
            Ok(signal) => self.signal(signal, client),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if self.backpressure.is_paused() {
            match client.poll(Duration::ZERO) {
                None => {}
                // Paused partitions give no records. Should one come all the same, it is kept.
                Some(Ok(message)) => self.message(&message),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                    return Some(Ended::Failed(error));
                }
                Some(Err(error)) => self.poll_failed(&error),
            }
            self.take_rebalanced(client);
        }
        None
    }

    fn resume(&mut self, client: &GroupConsumer) {
        tracing::info!("reading resumes");
        self.context.health.set_paused(false);
        log_failure("resume", &client.resume(&self.running()));
    }

    /// Waits for the batches in flight and stores their offsets. Records that were not yet handed
    /// over are read again by the next owner of the partition.
    fn drain(&mut self, client: &GroupConsumer) {
        let deadline = Instant::now() + self.context.options.drain_timeout;
        while !self.tracker.is_idle()
            && Instant::now() < deadline
            && !self.context.abandoned.is_cancelled()
        {
            if let Ok(signal) = self.context.signals.recv_timeout(POLL_WHEN_IDLE) {
                self.track(signal);
            }
            self.store_offsets(client);
        }
        if !self.tracker.is_idle() {
            tracing::warn!("stopped with batches that are not committed; they are read again");
        }
        // Dropping the client closes it, which commits the stored offsets.
    }

    /// Waits without a client. Batches may be committed meanwhile.
    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.context.stopped.is_cancelled() {
            if let Ok(signal) = self.context.signals.recv_timeout(POLL_WHEN_IDLE) {
                self.track(signal);
                let committable = self.tracker.committable_offsets();
                self.context.progress.send_modify(|progress| progress.extend(committable));
            }
        }
    }
}

fn log_failure(what: &str, result: &KafkaResult<()>) {
    if let Err(error) = result {
        tracing::warn!(%error, "could not {what} partitions");
    }
}
