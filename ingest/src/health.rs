//! The problems of reading, and the partitions that this process reads: for `/readyz` and the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::source_partition::SourcePartition;

/// A broker that has given no answer for so long makes the process unready. Until then it may be a broker that
/// restarts, or a leader that moves.
pub const UNREADY_AFTER: Duration = Duration::from_secs(6);

/// The state of reading, shared by those who read and those who are asked about it.
#[derive(Debug, Default)]
pub struct IngestHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A broker has answered.
    broker_reached: bool,
    problems: BTreeMap<Subject, Problem>,
    /// The time at which a subject was last known to be well; only of those that may be wrong for a while.
    good_at: BTreeMap<Subject, Instant>,
    partitions: BTreeMap<SourcePartition, PartitionHealth>,
    paused: bool,
}

#[derive(Debug)]
struct Problem {
    /// One sentence.
    text: String,
    /// The time at which its subject was last known to be well, or else at which this was noted first.
    since: Instant,
}

/// What a problem is about: there is at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Broker,
    Topic(String),
    /// Partitions of a topic that are read, and whose broker is away.
    Partitions(String),
    /// The Kafka client reports an error.
    Consumer,
    /// The stored state of the topics could not be read.
    TopicMonitor,
    Worker,
    /// Nothing is read, because so much waits to be applied.
    Pressure,
    /// Some partitions are not read, because much waits to be applied for lanes of theirs.
    CrowdedLanes,
    /// Records of a topic wait for a schema that can't be had.
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
    /// Everything below is applied; absent until the partition was looked at.
    pub next_offset: Option<i64>,
    /// The end of the partition.
    pub end_offset: Option<i64>,
    /// How many records are not applied yet.
    pub lag: Option<i64>,
    /// Whether it is read.
    pub state: PartitionStanding,
}

/// Whether a partition is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionStanding {
    /// Not before what is known of it was compared with what the broker has.
    Unverified,
    /// It is.
    Running,
    /// Its next record has a schema that can't be had at the moment. It is tried again every second.
    WaitingForSchema,
    /// It is not: its topic was created again.
    Recreated,
}

impl IngestHealth {
    /// Checks that brokers answer, that every topic is there, and that none was recreated. The error says what is wrong
    /// and what helps, in one line.
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

    /// The problems that do not make the process unready, or not yet.
    pub fn warnings(&self) -> Vec<String> {
        let (state, now) = (self.lock(), Instant::now());
        let others = state.problems.iter().filter(|problem| !state.is_blocking(problem, now));
        others.map(|(_, problem)| problem.text.clone()).collect()
    }

    /// Everything that is wrong, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.lock().problems.values().map(|problem| problem.text.clone()).collect()
    }

    /// The partitions that this process reads.
    pub fn partitions(&self) -> Vec<PartitionHealth> {
        self.lock().partitions.values().cloned().collect()
    }

    /// The lag of each partition that this process reads, in the text format of Prometheus. A
    /// partition that was revoked is not in it; a gauge of a recorder would stay for ever.
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

    /// Whether reading is paused because the database is slower than Kafka.
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.lock().paused = paused;
    }

    /// Notes what is wrong, and logs it if that is news.
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

    /// Notes that something is right, and logs it if it was wrong before.
    pub(crate) fn resolve(&self, about: &Subject) {
        self.note_good(about, Instant::now());
        self.lock().broker_reached |= *about == Subject::Broker;
        self.retract(about);
    }

    /// Notes that something was right at a time.
    pub(crate) fn note_good(&self, about: &Subject, at: Instant) {
        if about.may_be_wrong_for_a_while() {
            self.lock().good_at.insert(about.clone(), at);
        }
    }

    /// Notes that something is not known to be wrong any more, and logs it if it was.
    pub(crate) fn retract(&self, about: &Subject) {
        if let Some(problem) = self.lock().problems.remove(about) {
            tracing::info!("no longer: {}", problem.text);
        }
    }

    /// Forgets what was wrong with topics that are not read any more.
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
    /// A broker that restarts is back in a moment, and so is a partition whose leader moves.
    fn may_be_wrong_for_a_while(&self) -> bool {
        matches!(self, Self::Broker | Self::Partitions(_))
    }
}

impl State {
    fn is_blocking(&self, (subject, problem): &(&Subject, &Problem), now: Instant) -> bool {
        let was_well = **subject != Subject::Broker || self.broker_reached;
        // The users of other partitions do not wait.
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
