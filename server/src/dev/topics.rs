//! Creates topics; only `dev` does that.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::failure::Failure;

/// Time limit for an answer of the broker.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A client of these brokers, with the properties of the configuration.
pub fn client(brokers: &str, properties: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}

/// Creates missing topics, each with its number of partitions.
pub async fn create(
    brokers: &str,
    properties: &BTreeMap<String, String>,
    topics: &[(&str, i32)],
) -> Result<(), Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        let names: Vec<&str> = topics.iter().map(|(name, _)| *name).collect();
        Failure::new(format!("can't create {} at the broker {brokers}: {why}", names.join(", ")))
    };
    let client: AdminClient<DefaultClientContext> =
        client(brokers, properties).create().map_err(|error| refused(&error))?;
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1)))
        .collect();
    let options =
        AdminOptions::new().request_timeout(Some(TIMEOUT)).operation_timeout(Some(TIMEOUT));
    let created = tokio::time::timeout(TIMEOUT, client.create_topics(&new, &options)).await;
    let no_answer = format!("no answer within {} s", TIMEOUT.as_secs());
    let created = match created {
        Err(_) => return Err(refused(&no_answer)),
        Ok(Err(error))
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) =>
        {
            return Err(refused(&no_answer));
        }
        Ok(created) => created.map_err(|error| refused(&error))?,
    };
    for topic in created {
        match topic {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(refused(&format!("{topic}: {code}"))),
        }
    }
    Ok(())
}
