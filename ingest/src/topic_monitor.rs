//! Compares what the brokers have with what was read: before a partition is read, after an error, and
//! every two seconds.

pub mod broker;
pub mod offset_answer;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::sources::{self, Known};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::connection_error::ConnectionError;
use crate::health::{IngestHealth, PartitionStanding, Subject};
use crate::offsets::partition_state::{Memory, PartitionState, Watermarks, judge};
use crate::offsets::query::{OffsetQuery, OffsetReport};
use crate::options::IngestOptions;
use crate::signal::Signal;
use crate::source_partition::SourcePartition;
use broker::{Broker, is_of_the_broker};
use offset_answer::{Asked, OffsetAnswer};

/// How often everything is compared, which bounds how long a new topic waits after it was accepted.
const EVERY: Duration = Duration::from_secs(2);
/// The same while a partition waits for its answer, after the broker or the database gave none.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// A round that has heard of no broker for so long is not waited for: longer than one question may take.
const SILENT_AFTER: Duration = Duration::from_millis(5_500);
/// The interval of the check.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// In `source_partitions` this partition stands for its whole topic: it is refused in this
/// incarnation, even if its end should one day lie beyond what was read.
pub const REFUSED: i32 = -1;

/// Asks the brokers about the topics, and tells the consumer.
pub struct TopicMonitor {
    pub options: Arc<IngestOptions>,
    pub broker: Arc<Broker>,
    pub database: Deadlined,
    pub health: Arc<IngestHealth>,
    pub queries: watch::Receiver<Vec<OffsetQuery>>,
    pub signals: mpsc::Sender<Signal>,
    pub stopped: CancellationToken,
}

/// A topic as the database knows it.
pub struct Remembered {
    pub topic: Arc<str>,
    pub incarnation: i32,
    pub known: HashMap<i32, Known>,
}

impl Remembered {
    /// Reads what is known of topics. Read it before asking the broker: then an end that lies
    /// before what was read is never only an older answer.
    pub async fn read(pool: &PgPool, topics: &[String]) -> sqlx::Result<Vec<Self>> {
        let mut remembered = Vec::with_capacity(topics.len());
        for topic in topics {
            let incarnation = sources::incarnation(pool, topic).await?;
            let known = sources::known(pool, topic, incarnation).await?;
            remembered.push(Self { topic: topic.as_str().into(), incarnation, known });
        }
        Ok(remembered)
    }

    /// What is known of a partition, and what its group's offset is worth.
    pub fn memory(&self, partition: i32, committed: Option<i64>, cursor: Option<i64>) -> Memory {
        let known = self.known.get(&partition).copied();
        // The group's offset may be of the topic that was there before.
        let committed = committed.filter(|_| known.is_some() || self.incarnation == 0);
        Memory { known, committed, cursor }
    }

    /// Whether the topic was created again, by what the broker has of its partitions.
    pub fn is_recreated(
        &self,
        partitions: &[i32],
        broker: &HashMap<SourcePartition, Watermarks>,
    ) -> bool {
        self.known.iter().any(|(partition, known)| {
            let at = SourcePartition { topic: Arc::clone(&self.topic), partition: *partition };
            *partition == REFUSED
                || (known.read > 0 && !partitions.contains(partition))
                || broker.get(&at).is_some_and(|marks| marks.high < known.read)
        })
    }
}

impl TopicMonitor {
    pub async fn run(mut self) {
        loop {
            let queries = self.queries.borrow_and_update().clone();
            let waiting = queries.iter().any(|q| q.standing == PartitionStanding::Unverified);
            tokio::select! {
                () = self.round(&queries) => {}
                () = self.stopped.cancelled() => return,
            }
            let pause = if waiting { AGAIN_AFTER } else { EVERY };
            tokio::select! {
                changed = self.queries.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
                () = self.stopped.cancelled() => return,
            }
        }
    }

    async fn round(&self, queries: &[OffsetQuery]) {
        let topics = &self.options.topics;
        let read = self.database.call(|pool| async move { Remembered::read(&pool, topics).await });
        let remembered = match read.await {
            Ok(remembered) => remembered,
            Err(error) => {
                let problem = format!("what was read of the topics can't be looked up: {error}");
                return self.health.report(Subject::TopicMonitor, problem);
            }
        };
        self.health.resolve(&Subject::TopicMonitor);
        let asked = self.ask(&remembered, queries).await;
        if let Some(at) = self.broker.answered_at() {
            self.health.note_good(&Subject::Broker, at);
        }
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) => {
                let problem = unreachable(&self.options, &error, &self.broker);
                return self.health.report(Subject::Broker, problem);
            }
        };
        self.health.resolve(&Subject::Broker);
        for topic in &remembered {
            let asked: Vec<_> = queries.iter().filter(|q| q.at.topic == topic.topic).collect();
            if let Err(error) = self.judge_topic(topic, &asked, &answer).await {
                let problem = format!("what was read of {} can't be noted: {error}", topic.topic);
                self.health.report(Subject::TopicMonitor, problem);
            }
        }
        self.send(OffsetReport::Watermarks(answer.watermarks));
    }

    /// Asks the broker, on a thread that may block.
    async fn ask(
        &self,
        remembered: &[Remembered],
        queries: &[OffsetQuery],
    ) -> Result<OffsetAnswer, KafkaError> {
        let broker = Arc::clone(&self.broker);
        let topics: Vec<Arc<str>> = remembered.iter().map(|r| Arc::clone(&r.topic)).collect();
        let unsure: Vec<SourcePartition> = queries
            .iter()
            .filter(|q| q.standing != PartitionStanding::Running)
            .map(|q| q.at.clone())
            .collect();
        // A topic is judged as a whole before any of its partitions is read.
        let judged = remembered.iter().filter(|r| unsure.iter().any(|at| at.topic == r.topic));
        let whole = judged.flat_map(|r| {
            let partitions = r.known.keys().filter(|p| **p != REFUSED);
            partitions.map(|p| SourcePartition { topic: Arc::clone(&r.topic), partition: *p })
        });
        let ends: BTreeSet<SourcePartition> =
            queries.iter().map(|q| q.at.clone()).chain(whole).collect();
        let asked = Asked { topics, ends, unsure };
        let ask = move || OffsetAnswer::ask(&asked, &broker);
        let mut asking = tokio::task::spawn_blocking(ask);
        let began = Instant::now();
        loop {
            match tokio::time::timeout(LOOK_EVERY, &mut asking).await {
                Ok(answer) => return answer.unwrap_or(Err(KafkaError::Canceled)),
                Err(_) => self.note_silence(began),
            }
        }
    }

    /// Says that nobody answers while a round, whose questions wait one after the other, is not over.
    fn note_silence(&self, began: Instant) {
        let answered_at = self.broker.answered_at();
        if let Some(at) = answered_at {
            self.health.note_good(&Subject::Broker, at);
        }
        let heard = answered_at.map_or(began, |at| at.max(began));
        if heard.elapsed() >= SILENT_AFTER {
            let problem = ConnectionError::no_answer(&self.options.brokers);
            self.health.report(Subject::Broker, problem);
        }
    }

    async fn note_applied(&self, topic: &Remembered, next: (i32, i64)) -> sqlx::Result<()> {
        let (topic, incarnation) = (&topic.topic, topic.incarnation);
        let note =
            |pool| async move { sources::note_applied(&pool, topic, incarnation, [next]).await };
        self.database.call(note).await
    }

    async fn judge_topic(
        &self,
        topic: &Remembered,
        asked: &[&OffsetQuery],
        answer: &OffsetAnswer,
    ) -> sqlx::Result<()> {
        let subject = Subject::Topic(topic.topic.to_string());
        let partitions: Vec<i32> = match answer.topics.get(&topic.topic) {
            Some(Ok(Some(partitions))) => partitions.iter().map(|partition| partition.id).collect(),
            Some(Err(error)) => {
                self.health.report(subject, unreadable(&topic.topic, error));
                return Ok(());
            }
            Some(Ok(None)) | None => {
                self.health.report(subject, missing(&topic.topic));
                return Ok(());
            }
        };
        let mut recreated = topic.is_recreated(&partitions, &answer.watermarks);
        let mut states = Vec::new();
        for query in asked {
            let Some(marks) = answer.watermarks.get(&query.at) else { continue };
            if answer.refused.contains_key(&query.at) {
                continue; // what the group has committed is not known
            }
            let same_topic = query.incarnation == Some(topic.incarnation);
            let cursor = query.cursor.filter(|_| same_topic);
            let running = query.standing == PartitionStanding::Running && same_topic;
            let committed = answer.committed.get(&query.at).copied();
            let state = judge(*marks, topic.memory(query.at.partition, committed, cursor));
            recreated |= matches!(state, PartitionState::Recreated { .. }) && !running;
            if !running {
                states.push((*query, state));
            }
        }
        if recreated {
            return self.refuse(topic, asked, answer).await;
        }
        self.report_refused(topic, asked, answer);
        for (query, state) in states {
            let partition = query.at.partition;
            if let (PartitionState::Fine { start }, None) = (state, topic.known.get(&partition)) {
                self.warn_of_start(&query.at, start, answer);
                // From now on this is what is known, whatever the group's offset says later.
                self.note_applied(topic, (partition, start)).await?;
            }
            self.send(OffsetReport::State {
                at: query.at.clone(),
                epoch: query.epoch,
                incarnation: topic.incarnation,
                state,
            });
        }
        Ok(())
    }

    /// A partition that is not read yet and can't be verified is a reason to wait; one that is read
    /// already has lost its broker, maybe for a moment.
    fn report_refused(&self, topic: &Remembered, asked: &[&OffsetQuery], answer: &OffsetAnswer) {
        let whole = Subject::Topic(topic.topic.to_string());
        let parts = Subject::Partitions(topic.topic.to_string());
        let is_waiting = |query: &&OffsetQuery| {
            query.standing != PartitionStanding::Running && answer.refused.contains_key(&query.at)
        };
        let (bad, good) =
            if asked.iter().any(is_waiting) { (whole, parts) } else { (parts, whole) };
        self.health.retract(&good);
        match answer.refused_of(&topic.topic) {
            Some(problem) => self.health.report(bad, problem),
            None => self.health.resolve(&bad),
        }
    }

    /// Says that reading begins after the first record, where that is for no better reason than that
    /// the group was there: the database may be another one than the group's.
    fn warn_of_start(&self, at: &SourcePartition, start: i64, answer: &OffsetAnswer) {
        let first = answer.watermarks.get(at).map_or(0, |marks| marks.low);
        if answer.committed.contains_key(at) && start > first {
            tracing::warn!(
                "{at} is read from offset {start}, where the group {} stands: this database has never \
                 read it, and what lies between {first} and {start} is not applied to it; if it should \
                 be, use a new `kafka.group`",
                self.options.group
            );
        }
    }

    /// Nothing of the topic is read until it is accepted.
    async fn refuse(
        &self,
        topic: &Remembered,
        asked: &[&OffsetQuery],
        answer: &OffsetAnswer,
    ) -> sqlx::Result<()> {
        let subject = Subject::Topic(topic.topic.to_string());
        self.health.report(subject, recreated(&topic.topic));
        for query in asked.iter().filter(|q| q.standing != PartitionStanding::Recreated) {
            let read = topic.known.get(&query.at.partition).map_or(0, |known| known.read);
            let end = answer.watermarks.get(&query.at).map_or(0, |marks| marks.high);
            tracing::error!("{} ends at {end} and was read up to {read}", query.at);
            let state = PartitionState::Recreated { end, read };
            let (at, epoch, incarnation) = (query.at.clone(), query.epoch, topic.incarnation);
            self.send(OffsetReport::State { at, epoch, incarnation, state });
        }
        if !topic.known.contains_key(&REFUSED) {
            self.note_applied(topic, (REFUSED, 0)).await?;
        }
        Ok(())
    }

    fn send(&self, report: OffsetReport) {
        // Nobody listens any more once reading has ended.
        let _ = self.signals.send(Signal::Report(report));
    }
}

/// The report if no broker answers.
pub fn unreachable(options: &IngestOptions, error: &KafkaError, broker: &Broker) -> String {
    let brokers = &options.brokers;
    if is_of_the_broker(error) {
        tracing::debug!(%error, "no broker answers");
        broker.describe_error(brokers)
    } else {
        format!("Kafka at {brokers}: {error}")
    }
}

/// What is said of a topic that the broker does not let us see, or that can't be.
pub fn unreadable(topic: &str, error: &KafkaError) -> String {
    format!("the topic {topic} can't be read: {error}; it is read as soon as it can")
}

/// The report on a topic that does not exist.
pub fn missing(topic: &str) -> String {
    format!("the topic {topic} does not exist; it is read as soon as it does")
}

/// The report on a topic that was created again, with the command that helps.
pub fn recreated(topic: &str) -> String {
    format!(
        "the topic {topic} was deleted and created again: it ends before what was read of it; \
         nothing of it is applied until `plaudit ingest accept-new-topic {topic}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract gives it five seconds; the rest is for the broker and the database to answer.
    #[test]
    fn an_accepted_topic_waits_for_at_most_two_seconds() {
        assert!(EVERY <= Duration::from_secs(2) && AGAIN_AFTER <= EVERY);
    }
}
