//! The systems that pay rewards: items by webhook, everything else from the topic of rewards.
//!
//! Both honour the grant id, and show every fault of real payers: they fail, answer late, answer
//! twice, contradict themselves and forget, until [`Payers::behave`] is called.

mod topic;
mod webhook;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::error::SoakError;
use super::http::Api;

/// The kind of rewards that the webhook pays. The reader of the topic pays all others.
pub const KIND: &str = "item";
/// The name of the webhook's channel.
pub const CHANNEL: &str = "payer";

/// Time limit for the action that confirms a line of the topic. Short enough for forgotten lines to
/// fail before the end of a short soak.
const ACK_WITHIN_SECONDS: u64 = 20;

/// The payment for a grant. The first message counts, and repeats change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The user who is paid.
    pub user: String,
    /// The code of the reward.
    pub code: String,
    /// The amount.
    pub amount: i64,
}

/// The payments of one payer, by grant.
pub type Payments = HashMap<Uuid, Payment>;

/// The way in which a payer receives messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Requests to its endpoint.
    Webhook,
    /// The topic of rewards.
    Topic,
}

/// The books of both payers.
#[derive(Debug, Default)]
struct Ledger {
    by_webhook: Payments,
    by_topic: Payments,
    /// The number of faults, by kind.
    met: HashMap<&'static str, u64>,
    /// The number of messages to the webhook.
    messages: usize,
    /// Time of the last message to either payer.
    last_message_at: Option<Instant>,
    /// Messages and answers that a payer should not have received.
    wrong: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    ledger: Mutex<Ledger>,
    behaves: AtomicBool,
    is_silent: AtomicBool,
    api: Arc<Api>,
}

/// Both payers. Dropping this stops them.
#[derive(Debug)]
pub struct Payers {
    shared: Arc<Shared>,
    running: [AbortHandle; 2],
}

impl Drop for Payers {
    fn drop(&mut self) {
        for payer in &self.running {
            payer.abort();
        }
    }
}

impl Payers {
    /// Starts a payer that serves `listener` and one that reads the topic of rewards.
    pub fn start(
        listener: TcpListener,
        brokers: &str,
        api: &Arc<Api>,
    ) -> Result<Arc<Self>, SoakError> {
        let shared = Arc::new(Shared {
            ledger: Mutex::default(),
            behaves: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            api: Arc::clone(api),
        });
        let by_topic = topic::start(brokers, Arc::clone(&shared))?;
        let by_webhook = webhook::start(listener, Arc::clone(&shared));
        Ok(Arc::new(Self { shared, running: [by_webhook, by_topic] }))
    }

    /// Makes both payers pay and confirm correctly from now on.
    pub fn behave(&self) {
        self.shared.behaves.store(true, Ordering::Relaxed);
    }

    /// Makes the webhook stop answering, or answer again.
    pub fn silence(&self, is_silent: bool) {
        self.shared.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Returns the number of messages that the silent webhook has received.
    pub fn unanswered(&self) -> u64 {
        self.shared.ledger().met.get(webhook::TO_THE_DEAD).copied().unwrap_or_default()
    }

    /// Returns the payments so far.
    pub fn paid(&self, way: Way) -> Payments {
        let ledger = self.shared.ledger();
        match way {
            Way::Webhook => ledger.by_webhook.clone(),
            Way::Topic => ledger.by_topic.clone(),
        }
    }

    /// Returns the time since the last message to either payer.
    pub fn quiet_for(&self) -> Duration {
        self.shared.ledger().last_message_at.map_or(Duration::MAX, |at| at.elapsed())
    }

    /// Returns the number of faults, by kind.
    pub fn met(&self) -> Vec<(&'static str, u64)> {
        let ledger = self.shared.ledger();
        let all = webhook::ODDITIES.iter().chain(&topic::ODDITIES);
        all.map(|name| (*name, ledger.met.get(name).copied().unwrap_or_default())).collect()
    }

    /// Returns the messages and answers that a payer should not have received.
    pub fn wrong(&self) -> Vec<String> {
        self.shared.ledger().wrong.clone()
    }
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behaves(&self) -> bool {
        self.behaves.load(Ordering::Relaxed)
    }

    fn note(&self, oddity: &'static str) {
        *self.ledger().met.entry(oddity).or_default() += 1;
    }
}

impl Ledger {
    /// Pays a grant unless it is already paid. A repeated message must be equal to the first.
    fn pay(&mut self, way: Way, grant: Uuid, payment: Payment) {
        let payments = match way {
            Way::Webhook => &mut self.by_webhook,
            Way::Topic => &mut self.by_topic,
        };
        match payments.entry(grant) {
            Entry::Vacant(unpaid) => {
                unpaid.insert(payment);
            }
            Entry::Occupied(paid) if *paid.get() == payment => {}
            Entry::Occupied(paid) => {
                let wrong = format!("{grant}: {payment:?} after {:?}", paid.get());
                self.wrong.push(wrong);
            }
        }
    }
}

impl Payment {
    /// Reads the payment from a message.
    fn read(event: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let data = &event["data"];
        let amount = data["amount"].as_i64().unwrap_or_default();
        Self { user: text(&event["subject"]), code: text(&data["code"]), amount }
    }
}

/// Returns the action by which a payer reports on a grant. `word` distinguishes its identity from
/// those of other actions about the grant.
pub fn acknowledgement(user: &str, grant: Uuid, is_paid: bool, word: &str) -> Value {
    let verdict = if is_paid { "delivered" } else { "failed" };
    json!({
        "specversion": "1.0", "source": "/payer", "id": format!("{word}-{grant}"),
        "type": format!("plaudit.reward.{verdict}"), "subject": user, "time": Timestamp::now(),
        "data": { "grant": grant, "reason": "the vault is closed" },
    })
}

/// Returns the setting `rewards.channels` for a webhook at this address.
pub fn channels(address: &str) -> String {
    let ack_within = format!("PT{ACK_WITHIN_SECONDS}S");
    json!([
        webhook::channel(address),
        { "name": "kafka", "type": "kafka", "ack": "action", "ack_within": ack_within },
    ])
    .to_string()
}
