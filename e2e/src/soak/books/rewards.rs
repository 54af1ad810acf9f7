//! The topic of rewards must hold every line that is to be paid at least once, and no other.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Audit;
use crate::soak::action::user_name;
use crate::soak::error::SoakError;
use crate::soak::oracle::{Grant, grants};
use crate::soak::{REWARDS, REWARDS_PARTITIONS};

/// Time limit for the last rewards after the last record was applied.
pub(super) const PUBLISHED_MAX: Duration = Duration::from_secs(120);
/// After this long without a message, no further one is expected.
pub(super) const SILENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(100);

impl Audit {
    /// Compares the topic. Returns the number of its grants, and of those whose order was compared.
    pub(super) async fn check_topic(&self) -> Result<(usize, usize), SoakError> {
        let mut expected: HashMap<Uuid, Grant> = HashMap::new();
        let mut unclaimed: HashSet<Uuid> = HashSet::new();
        for grant in self.books.iter().flat_map(|(user, book)| grants(*user, book)) {
            if grant.automatic || self.claimed.contains(&grant.id) {
                expected.insert(grant.id, grant);
            } else {
                unclaimed.insert(grant.id);
            }
        }
        for claimed in self.claimed.iter().filter(|id| !expected.contains_key(id)) {
            self.findings.add("a receipt for what was not earned", claimed.to_string());
        }
        let brokers = self.brokers.clone();
        let ids: HashSet<Uuid> = expected.keys().copied().collect();
        let published = tokio::task::spawn_blocking(move || read_topic(&brokers, &ids))
            .await
            .map_err(|error| SoakError::Broken(error.to_string()))??;
        let in_order = self.check_order(&published.order, &expected);
        let published = published.messages;
        for (id, messages) in &published {
            match expected.remove(id) {
                Some(grant) => self.check_messages(&grant, messages),
                None if unclaimed.contains(id) => {
                    self.findings.add("paid without a claim", messages[0].to_string());
                }
                None => self.findings.add("paid and never earned", messages[0].to_string()),
            }
        }
        for grant in expected.values() {
            self.findings.add("never paid", format!("{} of {grant:?}", user_name(grant.user)));
        }
        Ok((published.len(), in_order))
    }

    /// Checks that a user's grants come in the order in which they became due, by an action or by a
    /// claim. Messages that a restart repeats don't count. Returns the number of grants that were
    /// compared with an earlier one.
    fn check_order(&self, order: &[Uuid], expected: &HashMap<Uuid, Grant>) -> usize {
        let mut compared = 0;
        let mut last: BTreeMap<(u32, bool), (u64, Uuid)> = BTreeMap::new();
        for id in order {
            let Some(grant) = expected.get(id) else { continue };
            let claimed = self.claimed_at.get(id).copied();
            // Grants due by an action and by a claim can't be compared: the former are numbered by
            // the oracle, the latter by their lane.
            let Some(due) = claimed.or(grant.automatic.then_some(grant.reached_by)) else {
                continue;
            };
            let before = last.insert((grant.user, grant.automatic), (due, *id));
            let Some((before, other)) = before else { continue };
            compared += 1;
            if before > due {
                let name = user_name(grant.user);
                let what = format!("{name}: {id}, due at {due}, after {other}, due at {before}");
                self.findings.add("paid in another order", what);
            }
        }
        compared
    }

    /// Checks that all messages of a grant are equal and say what was earned.
    fn check_messages(&self, grant: &Grant, messages: &[Value]) {
        let Grant { reward, .. } = grant;
        let expected = json!({
            "key": user_name(grant.user), "id": grant.id, "source": "/plaudit",
            "type": "plaudit.reward.granted", "subject": user_name(grant.user),
            "data": {
                "task": grant.task, "period": grant.period, "milestone": grant.milestone,
                "line": reward.line, "kind": reward.kind, "code": reward.code,
                "amount": reward.amount, "reached_at": grant.reached_at.to_string(),
            },
        });
        for message in messages.iter().filter(|message| **message != expected) {
            self.findings
                .add("paid otherwise than earned", format!("{message}, expected {expected}"));
        }
    }
}

/// The messages on the topic.
#[derive(Default)]
struct Published {
    /// All messages by grant id.
    messages: HashMap<Uuid, Vec<Value>>,
    /// Each grant once, in the order of first messages. A user's grants are in one partition.
    order: Vec<Uuid>,
}

/// Reads all messages until every expected one has arrived and nothing follows.
fn read_topic(brokers: &str, expected: &HashSet<Uuid>) -> Result<Published, SoakError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "soak-reader") // rdkafka wants one; nothing is committed under it
        .set("enable.auto.commit", "false")
        .create()?;
    let mut partitions = TopicPartitionList::new();
    for partition in 0..REWARDS_PARTITIONS {
        partitions.add_partition_offset(REWARDS, partition, Offset::Beginning)?;
    }
    consumer.assign(&partitions)?;
    let mut found = Published::default();
    let (begun, mut last) = (Instant::now(), Instant::now());
    loop {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                last = Instant::now();
                let (id, shown) = read_message(message.key(), message.payload());
                let messages = found.messages.entry(id).or_default();
                if messages.is_empty() {
                    found.order.push(id);
                }
                messages.push(shown);
                continue;
            }
            Some(Err(fatal @ KafkaError::MessageConsumptionFatal(_))) => return Err(fatal.into()),
            // The client reconnects by itself.
            Some(Err(passing)) => tracing::info!("soak: the reader of rewards: {passing}"),
            None => {}
        }
        let complete = expected.iter().all(|id| found.messages.contains_key(id));
        if (complete && last.elapsed() > SILENCE) || begun.elapsed() > PUBLISHED_MAX {
            return Ok(found);
        }
    }
}

/// Returns the grant id and the compared fields of a message. Without an id, the nil UUID stands
/// in.
fn read_message(key: Option<&[u8]>, payload: Option<&[u8]>) -> (Uuid, Value) {
    let body: Value = serde_json::from_slice(payload.unwrap_or_default()).unwrap_or_default();
    let id = body["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or_default();
    let shown = json!({
        "key": String::from_utf8_lossy(key.unwrap_or_default()),
        "id": body["id"], "source": body["source"], "type": body["type"],
        "subject": body["subject"], "data": body["data"],
    });
    (id, shown)
}
