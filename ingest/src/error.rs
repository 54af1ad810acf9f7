//! Errors at the start of the reader.

use std::collections::BTreeSet;

use rdkafka::error::KafkaError;

use crate::options::IngestOptions;
use crate::properties::{self, RefusedProperty};

/// The reason why reading did not start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// librdkafka refuses its properties.
    #[error("the Kafka client refuses its configuration: {0}")]
    Config(#[from] KafkaError),
    /// The operator set a property that Plaudit sets itself.
    #[error(transparent)]
    Property(#[from] RefusedProperty),
    /// Neither the settings nor a source file name a topic.
    #[error("no topics are configured to be read; name them by `kafka.topics`")]
    NoTopics,
    /// A topic's name is invalid. With it in the subscription, the Kafka client would join no
    /// group.
    #[error("{0:?} can't be the name of a topic; Kafka takes 1 to 249 of a-z A-Z 0-9 . _ -")]
    TopicName(String),
    /// A topic is named twice. One of the two may be a typing error.
    #[error("the topic {0} is named twice; remove one of both")]
    TopicTwice(String),
    /// A file of the TLS settings can't be read. The client's own error comes later or says less.
    #[error("`kafka.properties` sets `{name}` to {file}, which can't be read: {error}")]
    File {
        /// The property.
        name: String,
        /// Its value.
        file: String,
        /// The cause.
        error: std::io::Error,
    },
    /// The operating system refused a thread.
    #[error("could not start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Refuses options that can't work with any broker.
pub fn check(options: &IngestOptions) -> Result<(), IngestError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let can_be = |topic: &&String| {
        (1..=249).contains(&topic.len())
            && topic.chars().all(is_legal)
            && !matches!(topic.as_str(), "." | "..")
    };
    if let Some(topic) = options.topics.iter().find(|topic| !can_be(topic)) {
        return Err(IngestError::TopicName(topic.clone()));
    }
    let mut named = BTreeSet::new();
    if let Some(topic) = options.topics.iter().find(|topic| !named.insert(topic.as_str())) {
        return Err(IngestError::TopicTwice(topic.clone()));
    }
    properties::check(&options.properties)?;
    check_files(options)
}

/// Checks that the files of the TLS settings can be read. The error names the setting.
fn check_files(options: &IngestOptions) -> Result<(), IngestError> {
    const FILES: [&str; 4] = [
        "ssl.ca.location",
        "ssl.certificate.location",
        "ssl.key.location",
        "ssl.keystore.location",
    ];
    let files = options.properties.iter().filter(|(name, _)| FILES.contains(&name.as_str()));
    // With `probe`, librdkafka looks for the system's certificates.
    for (name, file) in files.filter(|(_, file)| *file != "probe") {
        check_file(file).map_err(|error| IngestError::File {
            name: name.clone(),
            file: file.clone(),
            error,
        })?;
    }
    Ok(())
}

/// Checks that a file can be opened. A folder of certificates is fine too.
fn check_file(file: &str) -> std::io::Result<()> {
    if std::fs::metadata(file)?.is_file() {
        std::fs::File::open(file)?;
    }
    Ok(())
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

    #[test]
    fn a_topic_that_is_named_twice_is_refused() {
        let topics = ["a", "b", "a"].map(str::to_owned).to_vec();
        let error = check(&IngestOptions::new("b", topics, "g")).unwrap_err().to_string();
        assert!(error.contains("the topic a is named twice"), "{error}");
    }
}
