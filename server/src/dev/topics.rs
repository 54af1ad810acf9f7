//! Topics. Only `dev` creates any.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::failure::Failure;

/// Creates topics that are not there yet, each with its number of partitions.
pub async fn create(brokers: &str, topics: &[(&str, i32)]) -> Result<(), Failure> {
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let new: Vec<NewTopic<'_>> = topics
        .iter()
        .map(|(name, partitions)| NewTopic::new(name, *partitions, TopicReplication::Fixed(1)))
        .collect();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(15)));
    for created in client.create_topics(&new, &options).await? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(Failure::new(format!(
                    "the broker at {brokers} does not create topic {topic}: {code}"
                )));
            }
        }
    }
    Ok(())
}
