//! Reads offsets and lag from the broker and the database, for `plaudit ingest status`.

use std::fmt;
use std::sync::Arc;

use plaudit_event_store::error::ExecuteError;
use serde::Serialize;
use sqlx::PgPool;

use crate::error::{IngestError, check};
use crate::offsets::partition_state::{PartitionState, decide};
use crate::options::IngestOptions;
use crate::source_partition::SourcePartition;
use crate::topic_monitor::broker::Broker;
use crate::topic_monitor::offset_answer::OffsetAnswer;
use crate::topic_monitor::{self, Remembered};

/// The status of all topics that are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The consumer group.
    pub group: String,
    /// One entry per topic, in the configured order.
    pub topics: Vec<TopicStatus>,
}

/// The status of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicStatus {
    /// The topic's name.
    pub topic: String,
    /// The state of reading.
    pub state: TopicState,
    /// The number of times it was accepted after it was deleted and created again.
    pub incarnation: i32,
    /// The problem and the command that solves it, if there is a problem.
    pub problem: Option<String>,
    /// The topic's partitions, by number.
    pub partitions: Vec<PartitionStatus>,
}

/// The state of reading for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// It can be read.
    Fine,
    /// There is no such topic.
    Missing,
    /// It was deleted and created again. It is not read until an operator accepts it.
    Recreated,
    /// The broker denies access to it, or to some of its partitions.
    Unreadable,
}

/// The status of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartitionStatus {
    /// The partition's number.
    pub partition: i32,
    /// The first offset that the broker still has.
    pub begin_offset: i64,
    /// The offset that the next record will get.
    pub end_offset: i64,
    /// Everything below is applied.
    pub next_offset: i64,
    /// The offset that the group has committed.
    pub committed_offset: Option<i64>,
    /// The number of records that are not applied yet.
    pub lag: i64,
    /// The number of records that were removed before they were read, and that the parked list does
    /// not name yet.
    pub lost: i64,
}

/// The reason why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The Kafka client or its settings fail.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// No broker answers, or it refuses the request.
    #[error("{0}")]
    Broker(String),
    /// The database fails.
    #[error(transparent)]
    Database(#[from] ExecuteError),
}

impl From<sqlx::Error> for StatusError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Asks the broker and the database for the status of the topics. Joins no group and changes
/// nothing.
pub async fn status(options: &IngestOptions, pool: &PgPool) -> Result<Status, StatusError> {
    check(options)?;
    let remembered = Remembered::read(pool, &options.topics).await?;
    let (asked, group) = (options.clone(), options.group.clone());
    let ask = move || -> Result<Vec<TopicStatus>, StatusError> {
        let broker = Broker::new(&asked).map_err(IngestError::from)?;
        let topics: Vec<Arc<str>> = remembered.iter().map(|r| Arc::clone(&r.topic)).collect();
        let answer = OffsetAnswer::ask_all(&topics, &broker)
            .map_err(|e| StatusError::Broker(topic_monitor::unreachable(&asked, &e, &broker)))?;
        Ok(remembered.iter().map(|topic| topic_status(topic, &answer)).collect())
    };
    let topics = tokio::task::spawn_blocking(ask)
        .await
        .unwrap_or_else(|_| Err(StatusError::Broker("asking the broker failed".to_owned())))?;
    Ok(Status { group, topics })
}

fn topic_status(topic: &Remembered, answer: &OffsetAnswer) -> TopicStatus {
    let mut status = TopicStatus {
        topic: topic.topic.to_string(),
        state: TopicState::Fine,
        incarnation: topic.incarnation,
        problem: None,
        partitions: Vec::new(),
    };
    let partitions: Vec<i32> = match answer.topics.get(&topic.topic) {
        Some(Ok(Some(partitions))) => partitions.iter().map(|partition| partition.id).collect(),
        Some(Err(error)) => {
            status.state = TopicState::Unreadable;
            status.problem = Some(topic_monitor::unreadable(&topic.topic, error));
            return status;
        }
        Some(Ok(None)) | None => {
            status.state = TopicState::Missing;
            status.problem = Some(topic_monitor::missing(&topic.topic));
            return status;
        }
    };
    let mut recreated = topic.is_recreated(&partitions, &answer.watermarks);
    for partition in partitions {
        let at = SourcePartition { topic: Arc::clone(&topic.topic), partition };
        let Some(marks) = answer.watermarks.get(&at).copied() else { continue };
        let committed_offset = answer.committed.get(&at).copied();
        let memory = topic.memory(partition, committed_offset, None);
        let lost = match decide(marks, memory) {
            PartitionState::Gap { from, until } => until - from,
            PartitionState::Recreated { .. } => {
                recreated = true;
                0
            }
            PartitionState::Fine { .. } => 0,
        };
        let known = memory.known.map(|known| known.applied);
        let next_offset = known.or(memory.committed).unwrap_or(marks.low);
        status.partitions.push(PartitionStatus {
            partition,
            begin_offset: marks.low,
            end_offset: marks.high,
            next_offset,
            committed_offset,
            lag: (marks.high - next_offset.max(marks.low)).max(0),
            lost,
        });
    }
    if recreated {
        status.state = TopicState::Recreated;
        status.problem = Some(topic_monitor::recreated(&topic.topic));
    } else if let Some(problem) = answer.refused_of(&topic.topic) {
        status.state = TopicState::Unreadable;
        status.problem = Some(problem);
    }
    status.partitions.sort_by_key(|partition| partition.partition);
    status
}

impl Status {
    /// Returns true if every topic exists, can be read, and was not created again.
    pub fn is_fine(&self) -> bool {
        self.topics.iter().all(|topic| topic.state == TopicState::Fine)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "group {}", self.group)?;
        for topic in &self.topics {
            match &topic.problem {
                Some(problem) => writeln!(f, "{problem}")?,
                None => writeln!(f, "topic {}", topic.topic)?,
            }
            for p in &topic.partitions {
                write!(
                    f,
                    "  partition {}: next {}, end {}, lag {}",
                    p.partition, p.next_offset, p.end_offset, p.lag
                )?;
                if p.lost > 0 {
                    write!(f, ", {} lost", p.lost)?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}
