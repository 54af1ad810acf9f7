//! Reading as a whole: one consumer, its workers, and those who look after the partitions.

use std::sync::Arc;

use plaudit_actions::sources::Sources;
use plaudit_event_store::CommandQueue;
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::attempt::Means;
use crate::health::IngestHealth;
use crate::options::IngestOptions;
use crate::properties::{self, RefusedProperty};

/// Why reading did not begin.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// librdkafka does not take its properties.
    #[error("the Kafka client refuses its configuration: {0}")]
    Config(#[from] KafkaError),
    /// A property that is not the operator's to set.
    #[error(transparent)]
    Property(#[from] RefusedProperty),
    /// There is nothing to read.
    #[error("no topics are configured to be read")]
    NoTopics,
    /// With such a topic in its subscription, the Kafka client would join no group.
    #[error("{0:?} can't be the name of a topic; Kafka takes 1 to 249 of a-z A-Z 0-9 . _ -")]
    TopicName(String),
    /// The operating system gave no thread.
    #[error("could not start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Refuses what can't work, whatever the broker says.
pub(crate) fn check(options: &IngestOptions) -> Result<(), IngestError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let can_be = |topic: &&String| {
        (1..=249).contains(&topic.len())
            && topic.chars().all(is_legal)
            && !matches!(topic.as_str(), "." | "..")
    };
    if let Some(topic) = options.topics.iter().find(|topic| !can_be(topic)) {
        return Err(IngestError::TopicName(topic.clone()));
    }
    Ok(properties::check(&options.properties)?)
}

/// Reads topics and applies what their records mean, until it is told to stop.
#[derive(Debug)]
pub struct Ingest {
    health: Arc<IngestHealth>,
    stopped: CancellationToken,
    reading: Option<JoinHandle<()>>,
}

impl Ingest {
    /// Begins to read. A broker that is not there, or a topic that is missing, is waited for.
    ///
    /// Ends in order when `stopped` is cancelled: what was begun is committed, its offsets are
    /// stored, and the group is left. [`Self::join`] waits for that.
    pub fn start(
        options: IngestOptions,
        queue: CommandQueue,
        pool: PgPool,
        sources: Arc<Sources>,
        stopped: CancellationToken,
    ) -> Result<Self, IngestError> {
        if options.topics.is_empty() {
            return Err(IngestError::NoTopics);
        }
        check(&options)?;
        let health = Arc::new(IngestHealth::default());
        let means = Means {
            options: Arc::new(options),
            queue,
            pool,
            sources,
            health: Arc::clone(&health),
            stopped: stopped.clone(),
        };
        let first = means.start()?;
        let reading = Some(tokio::spawn(means.keep_reading(first)));
        Ok(Self { health, stopped, reading })
    }

    /// How it goes.
    pub fn health(&self) -> &Arc<IngestHealth> {
        &self.health
    }

    /// Waits for the end, which comes when `stopped` of [`Self::start`] is cancelled.
    pub async fn join(mut self) {
        if let Some(reading) = self.reading.take()
            && let Err(error) = reading.await
        {
            tracing::error!(%error, "reading has panicked");
        }
    }
}

impl Drop for Ingest {
    /// Nothing reads on unnoticed.
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_topic_can_have_is_refused() {
        let checked = |topic: &str| check(&IngestOptions::new("b", vec![topic.to_owned()], "g"));
        for topic in ["plaudit.actions", "a", "Game_Teams-v2", &"x".repeat(249)] {
            checked(topic).unwrap();
        }
        for topic in ["", ".", "..", "a b", "a/b", "ä", "^regex.*", &"x".repeat(250)] {
            let error = checked(topic).unwrap_err().to_string();
            assert!(error.contains(topic) && error.contains("249"), "{error}");
        }
    }
}
