//! Errors that keep the soak from a verdict.

use plaudit_embedded::EmbeddedError;

/// The reason why the soak came to no verdict. Wrong behaviour of plaudit is a finding instead.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// PostgreSQL or Kafka can't be run.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The soak's own producer or consumer fails.
    #[error("the soak's own Kafka client: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A file or a process can't be used.
    #[error("could not {action}: {source}")]
    Io {
        /// The intended action, as a verb.
        action: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A command of plaudit failed although nothing was broken.
    #[error("`plaudit {command}` failed ({status}): {output}")]
    Command {
        /// The arguments of the command.
        command: String,
        /// The exit status.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// An instance did not become ready in time.
    #[error("{name} is not ready after {seconds} s: {last}; its log ends with:\n{log}")]
    NotReady {
        /// The name of the instance.
        name: String,
        /// The time limit in seconds.
        seconds: u64,
        /// The last answer.
        last: String,
        /// The end of the instance's log.
        log: String,
    },
    /// The soak itself is faulty.
    #[error("the soak is broken: {0}")]
    Broken(String),
    /// A signal stopped the soak.
    #[error("interrupted")]
    Interrupted,
}

impl SoakError {
    /// Returns a mapper for `map_err` on files and processes.
    pub fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
