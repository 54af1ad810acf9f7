//! The payer that reads the topic of rewards and confirms by actions.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::{KIND, Payment, Shared, Way, acknowledgement};
use crate::soak::error::SoakError;
use crate::soak::{REWARDS, REWARDS_PARTITIONS};

/// Time for which answers are gathered before they are sent together.
const GATHER: Duration = Duration::from_millis(200);
const ANSWERS_MAX: usize = 500;
const PAUSE: Duration = Duration::from_millis(100);

/// The faults of this payer.
pub(super) const ODDITIES: [&str; 4] = [
    "lines of the topic forgotten",
    "lines of the topic said to have failed first",
    "lines of the topic contradicted",
    "lines of the topic confirmed twice",
];

/// Starts to read the topic from its beginning.
pub(super) fn start(brokers: &str, shared: Arc<Shared>) -> Result<AbortHandle, SoakError> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "soak-payer") // rdkafka wants one; nothing is committed under it
        .set("enable.auto.commit", "false")
        .set("reconnect.backoff.max.ms", "500")
        // After a crash of the broker, a partition may be stuck until its leader is looked up
        // again.
        .set("topic.metadata.refresh.interval.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..REWARDS_PARTITIONS {
        partitions.add_partition_offset(REWARDS, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    Ok(tokio::spawn(run(consumer, shared)).abort_handle())
}

async fn run(consumer: StreamConsumer, shared: Arc<Shared>) {
    let mut seen = HashSet::new();
    loop {
        let mut answers = Vec::new();
        let until = Instant::now() + GATHER;
        while answers.len() < ANSWERS_MAX {
            match timeout_at(until, consumer.recv()).await {
                Ok(Ok(message)) => answers.extend(answer(&message, &mut seen, &shared)),
                // The client reconnects by itself.
                Ok(Err(_)) => sleep(PAUSE).await,
                Err(_) => break,
            }
        }
        if !answers.is_empty() {
            say(&answers, &shared).await;
        }
    }
}

/// Pays the grant of a message unless it is already paid, and returns the answers. They depend on
/// the message alone.
fn answer(message: &BorrowedMessage, seen: &mut HashSet<Uuid>, shared: &Shared) -> Vec<Value> {
    let body: Value =
        serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default();
    let Some(grant) = body["id"].as_str().and_then(|id| id.parse::<Uuid>().ok()) else {
        return Vec::new(); // the comparison of the topic finds it
    };
    shared.ledger().last_message_at = Some(std::time::Instant::now());
    let is_copy = body["plauditcopy"] == true;
    if is_copy != (body["data"]["kind"] == KIND) {
        shared.ledger().wrong.push(format!("for the wrong payer: {body}"));
    }
    if is_copy {
        return Vec::new(); // the other one pays it
    }
    let payment = Payment::read(&body);
    let user = payment.user.clone();
    let is_first = seen.insert(grant);
    let say = |is_paid, word| acknowledgement(&user, grant, is_paid, word);
    let note = |oddity| shared.note(oddity);
    let manner = grant.as_u128() % 20;
    if manner == 0 && is_first && !shared.behaves() {
        note(ODDITIES[0]);
        return Vec::new();
    }
    shared.ledger().pay(Way::Topic, grant, payment);
    match manner {
        1 => {
            note(ODDITIES[1]);
            vec![say(false, "failed"), say(true, "paid")]
        }
        2 => {
            note(ODDITIES[2]);
            vec![say(true, "paid"), say(false, "not-so")]
        }
        3 => {
            note(ODDITIES[3]);
            vec![say(true, "paid"), say(true, "again")]
        }
        _ => vec![say(true, "paid")],
    }
}

/// Sends answers until plaudit has stored them. However often one arrives, it counts once.
async fn say(answers: &[Value], shared: &Shared) {
    loop {
        match shared.api.post_actions(answers).await {
            Ok((200, body)) => {
                let outcomes = body["outcomes"].as_array().cloned().unwrap_or_default();
                let is_refused = |one: &&Value| one["outcome"] == "parked";
                let refused = outcomes.iter().filter(is_refused).map(ToString::to_string);
                shared.ledger().wrong.extend(refused);
                return;
            }
            Ok((500.., _)) | Err(_) => sleep(PAUSE).await,
            Ok((status, body)) => {
                return shared.ledger().wrong.push(format!("what it said: {status} {body}"));
            }
        }
    }
}
