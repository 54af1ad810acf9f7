//! Admin requests to a broker, which need not be a private one.

use crate::EmbeddedError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Time limit for requests. On a busy machine, a broker that has just started is slow.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// Checks that the broker answers a metadata request, which it does once it has joined its cluster.
pub(super) async fn answers(port: u16) -> Result<(), String> {
    // librdkafka would wait longer after each attempt; a refused connection costs nothing.
    TcpStream::connect(("127.0.0.1", port)).await.map_err(|error| error.to_string())?;
    let brokers = format!("127.0.0.1:{port}");
    let listed = with_metadata(&brokers, None, |metadata| !metadata.brokers().is_empty()).await;
    match listed {
        Ok(true) => Ok(()),
        Ok(false) => Err("it is not in its cluster yet".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub(crate) async fn create_topic(
    brokers: &str,
    name: &str,
    partitions: i32,
) -> Result<(), EmbeddedError> {
    let action = || format!("create the topic {name}");
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let client = client(brokers).map_err(refused(action()))?;
    let results = client.create_topics([&topic], &options()).await.map_err(refused(action()))?;
    for result in results {
        result.map_err(|(_, code)| broker_error(action(), &code.to_string()))?;
    }
    let expected = usize::try_from(partitions).unwrap_or_default();
    wait_until(brokers, name, action(), move |topic| {
        let partitions = topic.map(MetadataTopic::partitions).unwrap_or_default();
        partitions.len() == expected && partitions.iter().all(|partition| partition.leader() >= 0)
    })
    .await
}

pub(crate) async fn delete_topic(brokers: &str, name: &str) -> Result<(), EmbeddedError> {
    let action = || format!("delete the topic {name}");
    let client = client(brokers).map_err(refused(action()))?;
    let results = client.delete_topics(&[name], &options()).await.map_err(refused(action()))?;
    for result in results {
        result.map_err(|(_, code)| broker_error(action(), &code.to_string()))?;
    }
    wait_until(brokers, name, action(), |topic| topic.is_none()).await
}

pub(super) async fn delete_records(
    brokers: &str,
    topic: &str,
    partition: i32,
    before_offset: i64,
) -> Result<(), EmbeddedError> {
    let action = || format!("delete records of {topic}/{partition} before {before_offset}");
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, partition, Offset::Offset(before_offset))
        .map_err(refused(action()))?;
    let client = client(brokers).map_err(refused(action()))?;
    let deleted = client.delete_records(&offsets, &options()).await.map_err(refused(action()))?;
    for element in deleted.elements() {
        element.error().map_err(refused(action()))?;
    }
    Ok(())
}

fn client(brokers: &str) -> KafkaResult<AdminClient<DefaultClientContext>> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        // Otherwise every attempt while a server starts would write a line to standard error.
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(WAIT_MAX)).operation_timeout(Some(WAIT_MAX))
}

/// Fetches the metadata of one topic, or of all, on the blocking thread pool.
async fn with_metadata<T: Send + 'static>(
    brokers: &str,
    topic: Option<&str>,
    read: impl FnOnce(&Metadata) -> T + Send + 'static,
) -> KafkaResult<T> {
    let (brokers, topic) = (brokers.to_owned(), topic.map(str::to_owned));
    let fetch = move || {
        let client = client(&brokers)?;
        let metadata = client.inner().fetch_metadata(topic.as_deref(), Duration::from_secs(5))?;
        Ok(read(&metadata))
    };
    tokio::task::spawn_blocking(fetch).await.unwrap_or(Err(KafkaError::Canceled))
}

/// Waits until the topic's metadata satisfies `reached`. A request is answered once the controller
/// has decided, and brokers learn of the decision a moment later. A metadata request that times out
/// proves nothing, so it is repeated.
async fn wait_until(
    brokers: &str,
    topic: &str,
    action: String,
    reached: impl Fn(Option<&MetadataTopic>) -> bool + Copy + Send + 'static,
) -> Result<(), EmbeddedError> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let name = topic.to_owned();
        let is_reached = with_metadata(brokers, None, move |metadata| {
            reached(metadata.topics().iter().find(|topic| topic.name() == name))
        })
        .await;
        let last = match is_reached {
            Ok(true) => return Ok(()),
            Ok(false) => "it is without effect".to_owned(),
            Err(error) => error.to_string(),
        };
        if Instant::now() > deadline {
            let seconds = WAIT_MAX.as_secs();
            return Err(broker_error(action, &format!("accepted, but after {seconds} s {last}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn refused(action: String) -> impl FnOnce(KafkaError) -> EmbeddedError {
    move |error| broker_error(action, &error.to_string())
}

fn broker_error(action: String, reason: &str) -> EmbeddedError {
    EmbeddedError::Broker { action, reason: reason.to_owned() }
}
