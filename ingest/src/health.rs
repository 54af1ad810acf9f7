//! What is wrong with reading, and which partitions this process reads: for `/readyz` and the log.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard};

use serde::Serialize;

use crate::source_partition::SourcePartition;

/// The state of reading, shared by those who read and those who are asked about it.
#[derive(Debug, Default)]
pub struct IngestHealth(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether a broker ever answered. It may be gone since: then nothing new comes, but what this
    /// process serves is not affected.
    broker_reached: bool,
    /// One sentence for each thing that is wrong.
    problems: BTreeMap<Subject, String>,
    partitions: BTreeMap<SourcePartition, PartitionHealth>,
    paused: bool,
}

/// What a problem is about: there is at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Broker,
    Topic(String),
    /// Partitions of a topic that are read, and whose broker is away.
    Partitions(String),
    /// What the Kafka client complains about.
    Consumer,
    /// What the database knows of the topics could not be read.
    TopicMonitor,
    Worker,
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
    /// Where the partition ends.
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
    /// Whether a broker was reached, every topic is there, and none was created again. Otherwise
    /// what is wrong and what helps, in one line.
    pub fn ready(&self) -> Result<(), String> {
        let state = self.lock();
        // A broker that is gone again stops no one from reading what is there.
        let is_blocking = |subject: &Subject| match subject {
            Subject::Broker => !state.broker_reached,
            Subject::Partitions(_) => false,
            _ => true,
        };
        let blocking = state.problems.iter().filter(|(subject, _)| is_blocking(subject));
        let reasons: Vec<&str> = blocking.map(|(_, reason)| reason.as_str()).collect();
        if !reasons.is_empty() {
            return Err(reasons.join("; "));
        }
        if state.broker_reached {
            Ok(())
        } else {
            Err("no Kafka broker was reached yet".to_owned())
        }
    }

    /// Everything that is wrong, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        self.lock().problems.values().cloned().collect()
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
        let problem = problem.into();
        let mut state = self.lock();
        if state.problems.get(&about) != Some(&problem) {
            tracing::error!("{problem}");
            state.problems.insert(about, problem);
        }
    }

    /// Notes that something is right, and logs it if it was wrong before.
    pub(crate) fn resolve(&self, about: &Subject) {
        let mut state = self.lock();
        state.broker_reached |= *about == Subject::Broker;
        if let Some(problem) = state.problems.remove(about) {
            tracing::info!("no longer: {problem}");
        }
    }

    /// Forgets what was wrong with topics that are not read any more.
    pub(crate) fn keep_topics(&self, topics: &[String]) {
        let is_read = |topic: &String| topics.contains(topic);
        self.lock().problems.retain(|subject, _| match subject {
            Subject::Topic(topic) | Subject::Partitions(topic) | Subject::Schema(topic) => {
                is_read(topic)
            }
            _ => true,
        });
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
    fn a_broker_that_is_gone_later_is_a_problem_but_stops_no_reader() {
        let health = IngestHealth::default();
        health.resolve(&Subject::Broker);
        health.report(Subject::Broker, "no broker at x:9092");
        assert_eq!(health.ready(), Ok(()));
        health.report(Subject::Partitions("t".into()), "partition 3 of t has no leader");
        assert_eq!(health.ready(), Ok(()));
        assert_eq!(health.problems(), ["no broker at x:9092", "partition 3 of t has no leader"]);
    }
}
