//! Why the soak came to no verdict.

use plaudit_embedded::EmbeddedError;

/// Why the soak came to no verdict. What plaudit does wrong is a finding and not one of these.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// PostgreSQL or Kafka.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// Our own producer or consumer.
    #[error("the soak's own Kafka client: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A file or a process.
    #[error("could not {action}: {source}")]
    Io {
        /// What was wanted, as a verb.
        action: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A command of plaudit failed where nothing was broken.
    #[error("`plaudit {command}` failed ({status}): {output}")]
    Command {
        /// Its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// A process of plaudit is not up in time.
    #[error("{name} is not ready after {seconds} s: {last}; its log ends with:\n{log}")]
    NotReady {
        /// Which one.
        name: String,
        /// How long it was given.
        seconds: u64,
        /// The last answer.
        last: String,
        /// The end of its log.
        log: String,
    },
    /// The soak itself is at fault.
    #[error("the soak is broken: {0}")]
    Broken(String),
    /// Somebody ended it.
    #[error("interrupted")]
    Interrupted,
}

impl SoakError {
    /// For `map_err` on files and processes.
    pub fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
