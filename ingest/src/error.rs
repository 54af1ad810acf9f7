//! Errors at the start of the reader.

use std::collections::BTreeSet;

use plaudit_actions::topic_name::{self, InvalidTopicName};
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
    /// A topic's name is invalid.
    #[error(transparent)]
    TopicName(#[from] InvalidTopicName),
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
    options.topics.iter().try_for_each(|topic| topic_name::check(topic))?;
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
        let checked = |topics: &[&str]| {
            let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
            check(&IngestOptions::new("b", topics, "g")).map_err(|error| error.to_string())
        };
        checked(&["plaudit.actions"]).unwrap();
        assert!(checked(&["a", ".."]).unwrap_err().contains("\"..\" can't be"));
    }

    #[test]
    fn a_topic_that_is_named_twice_is_refused() {
        let topics = ["a", "b", "a"].map(str::to_owned).to_vec();
        let error = check(&IngestOptions::new("b", topics, "g")).unwrap_err().to_string();
        assert!(error.contains("the topic a is named twice"), "{error}");
    }
}
