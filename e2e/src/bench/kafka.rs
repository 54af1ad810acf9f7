//! Sample actions, and their producer.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::Outcome;
use super::place::CATALOGUE_KINDS;

/// The distribution of actions over users.
#[derive(Debug, Clone, Copy)]
pub enum Spread {
    /// Every user acts equally often.
    Uniform,
    /// Few users act very often, with an exponent of about 1.
    Zipf,
}

/// A small random number generator that gives the same numbers in every run.
///
/// Source: Vigna, `SplitMix64`.
pub struct Numbers(pub u64);

impl Numbers {
    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Spread {
    /// Draws a user from `users`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a draw"
    )]
    pub fn user(self, numbers: &mut Numbers, users: u64) -> u64 {
        match self {
            Self::Uniform => numbers.next() % users,
            Self::Zipf => {
                // Inverts the integral of 1/x.
                let u = (numbers.next() >> 11) as f64 / (1u64 << 53) as f64;
                ((users as f64).powf(u) as u64).min(users) - 1
            }
        }
    }
}

/// The types of the actions that are produced.
#[derive(Debug, Clone, Copy)]
pub enum Kinds {
    /// Only gifts.
    Gifts,
    /// The types of [`super::place::catalogue`], equally often.
    OfCatalogue,
}

impl Kinds {
    fn one(self, numbers: &mut Numbers) -> String {
        match self {
            Self::Gifts => GIFT.to_owned(),
            Self::OfCatalogue => format!("bench.k{}", numbers.next() % CATALOGUE_KINDS),
        }
    }
}

/// The action type that most benchmarks use.
pub const GIFT: &str = "gift.sent";

/// Returns the id of a user.
pub fn user_id(number: u64) -> String {
    format!("user-{number}")
}

/// Returns an action in structured mode.
pub fn action(id: u64, kind: &str, user: &str, time: &str, coins: u64) -> String {
    format!(
        r#"{{"specversion":"1.0","source":"/bench","id":"b-{id}","type":"{kind}","subject":"{user}","time":"{time}","data":{{"coins":{coins},"room":"r7"}}}}"#
    )
}

/// Creates a producer with a stock client's settings: keyed by user, with Kafka's default
/// partitioner.
pub fn producer(brokers: &str) -> Outcome<ThreadedProducer<DefaultProducerContext>> {
    Ok(ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "200000")
        .create()?)
}

/// Produces actions as fast as the broker accepts them.
pub fn fill(
    brokers: &str,
    topic: &str,
    records: u64,
    users: u64,
    spread: Spread,
    kinds: Kinds,
) -> Outcome<()> {
    let mut numbers = Numbers(42);
    produce(brokers, topic, records, |_| {
        let user = user_id(spread.user(&mut numbers, users));
        let kind = kinds.one(&mut numbers);
        (user, kind, 10 + numbers.next() % 90)
    })
}

/// Produces gifts of users who take turns. No two gifts have the same number of coins.
pub fn fill_in_turn(brokers: &str, topic: &str, records: u64, users: u64) -> Outcome<()> {
    produce(brokers, topic, records, |id| (user_id(id % users), GIFT.to_owned(), 10 + id))
}

/// Produces actions with the user, type and coins that `next` returns.
fn produce(
    brokers: &str,
    topic: &str,
    records: u64,
    mut next: impl FnMut(u64) -> (String, String, u64),
) -> Outcome<()> {
    let producer = producer(brokers)?;
    let time = jiff::Timestamp::now().to_string();
    for id in 0..records {
        let (user, kind, coins) = next(id);
        let body = action(id, &kind, &user, &time, coins);
        let mut record = BaseRecord::to(topic).key(&user).payload(&body);
        while let Err((error, back)) = producer.send(record) {
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => return Err(other.into()),
            }
            record = back;
        }
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(())
}

/// Counts the records of a topic.
pub fn records(brokers: &str, topic: &str, partitions: i32) -> Outcome<u64> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create()?;
    let mut sum = 0;
    for partition in 0..partitions {
        let (low, high) = client.fetch_watermarks(topic, partition, Duration::from_secs(10))?;
        sum += u64::try_from(high - low)?;
    }
    Ok(sum)
}
