//! Compares the brokers' offsets with what was read: before a partition is read, after an error,
//! and every two seconds.

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
use crate::offsets::partition_state::{Memory, PartitionState, Watermarks, decide};
use crate::offsets::query::{OffsetQuery, OffsetReport};
use crate::options::IngestOptions;
use crate::signal::Signal;
use crate::source_partition::SourcePartition;
use broker::{Broker, is_of_the_broker};
use offset_answer::{Asked, OffsetAnswer};

/// Interval between comparisons. A new topic waits at most this long after it was accepted.
const EVERY: Duration = Duration::from_secs(2);
/// Interval while a partition waits to be verified, because the broker or the database gave no
/// answer.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// Time without any answer after which a round reports that no broker answers. Longer than the time
/// limit of one question.
const SILENT_AFTER: Duration = Duration::from_millis(5_500);
/// Interval at which a running round is checked for silence.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The partition number under which `source_partitions` records that a whole topic is refused in
/// this incarnation, even if its end should one day lie beyond what was read.
pub const REFUSED: i32 = -1;

/// The task that asks the brokers about the topics and reports to the consumer.
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
    /// Reads what is known of topics. Call this before asking the broker: only then does an end
    /// below what was read prove that the topic was recreated.
    pub async fn read(pool: &PgPool, topics: &[String]) -> sqlx::Result<Vec<Self>> {
        let mut remembered = Vec::with_capacity(topics.len());
        for topic in topics {
            let incarnation = sources::incarnation(pool, topic).await?;
            let known = sources::known(pool, topic, incarnation).await?;
            remembered.push(Self { topic: topic.as_str().into(), incarnation, known });
        }
        Ok(remembered)
    }

    /// Returns what is known of a partition. Leaves out the committed offset if it may belong to
    /// the topic's earlier incarnation.
    pub fn memory(&self, partition: i32, committed: Option<i64>, cursor: Option<i64>) -> Memory {
        let known = self.known.get(&partition).copied();
        // The group's offset may be from before the topic was created again.
        let committed = committed.filter(|_| known.is_some() || self.incarnation == 0);
        Memory { known, committed, cursor }
    }

    /// Returns true if the broker's partitions show that the topic was created again, or if it was
    /// refused before.
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
                let problem = format!("the stored offsets of the topics can't be read: {error}");
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
            if let Err(error) = self.check_topic(topic, &asked, &answer).await {
                let problem = format!("the offsets of {} can't be stored: {error}", topic.topic);
                self.health.report(Subject::TopicMonitor, problem);
            }
        }
        self.send(OffsetReport::Watermarks(answer.watermarks));
    }

    /// Asks the broker on the blocking thread pool.
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
        // If any partition of a topic waits to be read, all of the topic's partitions are compared
        // first.
        let unverified = remembered.iter().filter(|r| unsure.iter().any(|at| at.topic == r.topic));
        let whole = unverified.flat_map(|r| {
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

    /// Reports silence while a round is still running; its questions wait for one another.
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

    async fn check_topic(
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
            let state = decide(*marks, topic.memory(query.at.partition, committed, cursor));
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
                // From now on the database knows the partition, whatever the group's offset says
                // later.
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

    /// Reports partitions that can't be verified. If one of them is not read yet, the whole topic
    /// is waiting; one that is being read may have lost its broker only for a moment.
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

    /// Warns that reading begins after the first record only because the group has committed an
    /// offset. The database may be a different one than the group's.
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

    /// Refuses a recreated topic: nothing of it is read until an operator accepts it.
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
        // The receiver is gone once reading has ended.
        let _ = self.signals.send(Signal::Report(report));
    }
}

/// Returns the report for a question to the broker that failed.
pub fn unreachable(options: &IngestOptions, error: &KafkaError, broker: &Broker) -> String {
    let brokers = &options.brokers;
    if is_of_the_broker(error) {
        tracing::debug!(%error, "no broker answers");
        broker.describe_error(brokers)
    } else {
        format!("Kafka at {brokers}: {error}")
    }
}

/// Returns the report on a topic that the broker denies access to or can't describe.
pub fn unreadable(topic: &str, error: &KafkaError) -> String {
    format!("the topic {topic} can't be read: {error}; it is read as soon as it can")
}

/// Returns the report on a topic that does not exist.
pub fn missing(topic: &str) -> String {
    format!("the topic {topic} does not exist; it is read as soon as it does")
}

/// Returns the report on a topic that was created again, with the command that accepts it.
pub fn recreated(topic: &str) -> String {
    format!(
        "the topic {topic} was deleted and created again: it ends before what was read of it; \
         nothing of it is applied until `plaudit ingest accept-new-topic {topic}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documented limit is five seconds; the rest is left for the broker and the database to
    /// answer.
    #[test]
    fn an_accepted_topic_waits_for_at_most_two_seconds() {
        assert!(EVERY <= Duration::from_secs(2) && AGAIN_AFTER <= EVERY);
    }
}
