//! The problems of reading and the partitions that this process reads, for `/readyz` and the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::source_partition::SourcePartition;

/// A broker that has been silent for this long makes the process unready. A broker that restarts or
/// a leader that moves is back sooner.
pub const UNREADY_AFTER: Duration = Duration::from_secs(6);

/// The state of reading. Shared by the parts that read and the parts that report on it.
#[derive(Debug, Default)]
pub struct IngestHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// True once a broker has answered.
    broker_reached: bool,
    problems: BTreeMap<Subject, Problem>,
    /// Time at which each subject was last known to be well. Only for subjects that may fail for a
    /// while.
    good_at: BTreeMap<Subject, Instant>,
    partitions: BTreeMap<SourcePartition, PartitionHealth>,
    paused: bool,
}

#[derive(Debug)]
struct Problem {
    /// One sentence.
    text: String,
    /// Time at which the subject was last known to be well, or else at which the problem was noted.
    since: Instant,
}

/// The subject of a problem. Each subject has at most one problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Broker,
    Topic(String),
    /// Partitions of a topic that are read, but whose broker does not answer.
    Partitions(String),
    /// The Kafka client reports an error.
    Consumer,
    /// The stored state of the topics could not be read.
    TopicMonitor,
    Worker,
    /// Nothing is read, because too much waits to be applied.
    Backpressure,
    /// Some partitions are not read, because too much waits to be applied in the lanes they feed.
    CrowdedLanes,
    /// Records of a topic wait for an unavailable schema.
    Schema(String),
    /// A part of the session ended unexpectedly.
    Session,
}

/// A partition as this process reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionHealth {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Everything below is applied. Absent until the partition was verified.
    pub next_offset: Option<i64>,
    /// The end of the partition.
    pub end_offset: Option<i64>,
    /// The number of records that are not applied yet.
    pub lag: Option<i64>,
    /// The state of reading.
    pub state: PartitionStanding,
}

/// The state of reading for a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionStanding {
    /// Not read until its recorded offsets are compared with the broker's.
    Unverified,
    /// Read.
    Running,
    /// Not read: the next record's schema is unavailable. It is tried again every second.
    WaitingForSchema,
    /// Not read: its topic was deleted and created again.
    Recreated,
}

impl IngestHealth {
    /// Checks that brokers answer, that every topic exists, and that no topic was recreated. The
    /// error says in one line what is wrong and what to do.
    pub fn ready(&self) -> Result<(), String> {
        self.ready_at(Instant::now())
    }

    fn ready_at(&self, now: Instant) -> Result<(), String> {
        let state = self.lock();
        let blocking = state.problems.iter().filter(|problem| state.is_blocking(problem, now));
        let reasons: Vec<&str> = blocking.map(|(_, problem)| problem.text.as_str()).collect();
        if !reasons.is_empty() {
            return Err(reasons.join("; "));
        }
        if state.broker_reached {
            Ok(())
        } else {
            Err("no Kafka broker was reached yet".to_owned())
        }
    }

    /// Returns the problems that do not make the process unready, or not yet.
    pub fn warnings(&self) -> Vec<String> {
        let (state, now) = (self.lock(), Instant::now());
        let others = state.problems.iter().filter(|problem| !state.is_blocking(problem, now));
        others.map(|(_, problem)| problem.text.clone()).collect()
    }

    /// Returns all problems, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.lock().problems.values().map(|problem| problem.text.clone()).collect()
    }

    /// Returns the partitions that this process reads.
    pub fn partitions(&self) -> Vec<PartitionHealth> {
        self.lock().partitions.values().cloned().collect()
    }

    /// Returns the lag of each partition that this process reads, in the text format of Prometheus.
    /// Revoked partitions are left out; a recorder's gauge would stay for ever.
    pub fn lag_metrics(&self) -> String {
        const NAME: &str = "plaudit_ingest_lag_records";
        let mut text = format!(
            "# HELP {NAME} Offsets not applied yet, by partition of this process\n# TYPE {NAME} gauge\n"
        );
        for PartitionHealth { topic, partition, lag, .. } in self.partitions() {
            if let Some(lag) = lag {
                // The names of topics have no characters that need an escape.
                let _ =
                    writeln!(text, "{NAME}{{topic=\"{topic}\",partition=\"{partition}\"}} {lag}");
            }
        }
        text
    }

    /// Returns true while reading is paused because the database is slower than Kafka.
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
    }

    /// Records a problem, and logs it if it is new.
    pub(crate) fn report(&self, about: Subject, problem: impl Into<String>) {
        let text = problem.into();
        let mut state = self.lock();
        let known = state.problems.get(&about);
        if known.is_none_or(|known| known.text != text) {
            tracing::error!("{text}");
        }
        let good_at = state.good_at.get(&about).copied();
        let since = known.map(|known| known.since).or(good_at).unwrap_or_else(Instant::now);
        state.problems.insert(about, Problem { text, since });
    }

    /// Records that a subject is well, and logs it if it had a problem.
    pub(crate) fn resolve(&self, about: &Subject) {
        self.note_good(about, Instant::now());
        self.lock().broker_reached |= *about == Subject::Broker;
        self.retract(about);
    }

    /// Records that a subject was well at a given time.
    pub(crate) fn note_good(&self, about: &Subject, at: Instant) {
        if about.may_be_wrong_for_a_while() {
            self.lock().good_at.insert(about.clone(), at);
        }
    }

    /// Drops a subject's problem because it may be over, and logs that.
    pub(crate) fn retract(&self, about: &Subject) {
        if let Some(problem) = self.lock().problems.remove(about) {
            tracing::info!("no longer: {}", problem.text);
        }
    }

    /// Drops the problems of topics that are no longer read.
    pub(crate) fn keep_topics(&self, topics: &[String]) {
        let is_read = |subject: &Subject| match subject {
            Subject::Topic(topic) | Subject::Partitions(topic) | Subject::Schema(topic) => {
                topics.contains(topic)
            }
            _ => true,
        };
        let mut state = self.lock();
        state.problems.retain(|subject, _| is_read(subject));
        state.good_at.retain(|subject, _| is_read(subject));
    }

    pub(crate) fn set_partitions(
        &self,
        partitions: impl IntoIterator<Item = (SourcePartition, PartitionHealth)>,
    ) {
        self.lock().partitions = partitions.into_iter().collect();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl Subject {
    /// A restarting broker, or a partition whose leader moves, is back in a moment.
    fn may_be_wrong_for_a_while(&self) -> bool {
        matches!(self, Self::Broker | Self::Partitions(_))
    }
}

impl State {
    fn is_blocking(&self, (subject, problem): &(&Subject, &Problem), now: Instant) -> bool {
        let was_well = **subject != Subject::Broker || self.broker_reached;
        // The users of other partitions are not held up.
        if **subject == Subject::CrowdedLanes {
            return false;
        }
        !(subject.may_be_wrong_for_a_while() && was_well)
            || now.saturating_duration_since(problem.since) >= UNREADY_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_23_ready_means_reached_once_and_nothing_wrong_with_a_topic() {
        let health = IngestHealth::default();
        assert!(health.ready().is_err());
        health.report(Subject::Broker, "no broker at x:9092");
        assert_eq!(health.ready(), Err("no broker at x:9092".to_owned()));
        health.resolve(&Subject::Broker);
        assert_eq!(health.ready(), Ok(()));
        health.report(Subject::Topic("t".into()), "the topic t does not exist");
        assert_eq!(health.ready(), Err("the topic t does not exist".to_owned()));
        health.resolve(&Subject::Topic("t".into()));
        assert_eq!(health.ready(), Ok(()));
    }

    #[test]
    fn a_broker_that_is_gone_later_makes_reading_unready_after_a_while() {
        let health = IngestHealth::default();
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        health.resolve(&Subject::Broker);
        health.note_good(&Subject::Broker, now);
        health.report(Subject::Broker, "no broker at x:9092");
        assert_eq!(health.ready_at(later(5)), Ok(()), "it may be restarting");
        assert_eq!(health.warnings(), ["no broker at x:9092"]);
        let gone = Err("no broker at x:9092".to_owned());
        assert_eq!(health.ready_at(later(6)), gone, "counted from its last answer");
        health.report(Subject::Broker, "no broker at x:9092, says another");
        assert!(health.ready_at(later(6)).is_err(), "as old as before, whatever the words");
        health.resolve(&Subject::Broker);
        assert_eq!(health.ready_at(later(60)), Ok(()));

        let parts = Subject::Partitions("t".into());
        health.note_good(&parts, now);
        health.report(parts.clone(), "partition 3 of t has no leader");
        assert_eq!(health.ready_at(later(5)), Ok(()));
        assert!(health.ready_at(later(6)).is_err());
        health.retract(&parts);
        assert_eq!(health.ready_at(later(60)), Ok(()));
    }
}
