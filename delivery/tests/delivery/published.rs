//! Reads what was published to a topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::Value;
use uuid::Uuid;

use crate::world::{PARTITIONS, WAIT_MAX};

/// A record of the topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    pub key: String,
    pub content_type: String,
    pub event: Value,
}

impl Published {
    pub fn id(&self) -> Uuid {
        self.event["id"].as_str().unwrap().parse().unwrap()
    }

    /// Task and line, such as `gifts/coins`, with the milestone.
    pub fn what(&self) -> String {
        let data = &self.event["data"];
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        format!("{}@{}/{}", text("task"), data["milestone"], text("line"))
    }
}

/// The first and the next offset of a partition. A topic that was just created has no leader for a
/// moment.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let begun = Instant::now();
    loop {
        match consumer.fetch_watermarks(topic, partition, WAIT_MAX) {
            Ok(marks) => return marks,
            Err(error) if begun.elapsed() > WAIT_MAX => panic!("{topic}/{partition}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Reads the topic from its beginning to its end.
pub fn read_all(brokers: &str, topic: &str) -> Vec<Published> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "nobody")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut ends = BTreeMap::new();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let (low, high) = watermarks(&consumer, topic, partition);
        if low < high {
            ends.insert(partition, high);
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
    }
    consumer.assign(&list).unwrap();
    let mut published = Vec::new();
    while !ends.is_empty() {
        let Some(message) = consumer.poll(WAIT_MAX) else {
            panic!("no answer within {WAIT_MAX:?}")
        };
        let message = message.unwrap();
        let header = message.headers().unwrap().get(0);
        assert_eq!(header.key, "content-type");
        published.push(Published {
            key: String::from_utf8(message.key().unwrap().to_vec()).unwrap(),
            content_type: String::from_utf8(header.value.unwrap().to_vec()).unwrap(),
            event: serde_json::from_slice(message.payload().unwrap()).unwrap(),
        });
        if ends.get(&message.partition()).is_some_and(|end| message.offset() + 1 >= *end) {
            ends.remove(&message.partition());
        }
    }
    published
}
