//! The private Kafka: starts, keeps its records, survives a kill, and supports both group
//! protocols.

use plaudit_embedded::{Kafka, KafkaOptions, ScratchDir};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Message};
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(120);

async fn send(payload: &str, topic: &str, kafka: &Kafka) {
    let producer: FutureProducer =
        ClientConfig::new().set("bootstrap.servers", kafka.brokers()).create().unwrap();
    let record = FutureRecord::<str, str>::to(topic).partition(0).payload(payload);
    producer.send(record, WAIT_MAX).await.unwrap();
}

/// Returns the first `count` records of a topic, as a new group with the given protocol receives
/// them.
async fn received(count: usize, protocol: &str, topic: &str, kafka: &Kafka) -> Vec<String> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka.brokers())
        .set("group.id", format!("{topic}-{protocol}-{count}"))
        .set("group.protocol", protocol)
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let mut payloads = Vec::new();
    let mut last_error = None;
    let receiving = async {
        while payloads.len() < count {
            match consumer.recv().await {
                Ok(record) => {
                    payloads.push(String::from_utf8(record.payload().unwrap().to_vec()).unwrap());
                }
                Err(fatal @ KafkaError::MessageConsumptionFatal(_)) => panic!("{fatal}"),
                // The broker has only just started; the client reconnects by itself.
                Err(passing) => last_error = Some(passing),
            }
        }
    };
    let is_in_time = tokio::time::timeout(WAIT_MAX, receiving).await.is_ok();
    assert!(is_in_time, "{payloads:?} of {count} in {WAIT_MAX:?}; the last error: {last_error:?}");
    payloads
}

#[tokio::test]
async fn records_survive_a_kill_and_a_new_start_and_go_when_they_are_deleted() {
    let scratch = ScratchDir::create("kafka-kill").unwrap();
    let dir = scratch.path().join("kafka");
    let mut kafka = Kafka::start(&dir, KafkaOptions::scratch()).await.unwrap();
    let brokers = kafka.brokers();
    kafka.create_topic("kept", 2).await.unwrap();
    send("one", "kept", &kafka).await;

    kafka.kill().await.unwrap();
    assert_eq!(kafka.pid(), None);
    kafka.restart().await.unwrap();
    assert_eq!(kafka.brokers(), brokers);
    send("two", "kept", &kafka).await;
    assert_eq!(received(2, "classic", "kept", &kafka).await, ["one", "two"]);
    drop(kafka);

    let kafka = Kafka::start(&dir, KafkaOptions::scratch()).await.unwrap();
    assert_eq!(kafka.brokers(), brokers);
    assert_eq!(received(2, "consumer", "kept", &kafka).await, ["one", "two"]);

    kafka.delete_records("kept", 0, 1).await.unwrap();
    assert_eq!(received(1, "classic", "kept", &kafka).await, ["two"]);

    assert!(kafka.create_topic("kept", 1).await.is_err(), "a topic was created twice");
    kafka.delete_topic("kept").await.unwrap();
    kafka.create_topic("kept", 1).await.unwrap();
    send("three", "kept", &kafka).await;
    assert_eq!(received(1, "consumer", "kept", &kafka).await, ["three"]);
    kafka.discard().await.unwrap();
    assert!(!dir.exists());
}
