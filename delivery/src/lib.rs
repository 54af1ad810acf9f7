//! Delivers grants to the paying systems. Each claimed or automatic reward line is sent once its
//! claim is committed, at least once, and always under the same id.
//!
//! A follower of the log queues deliveries, one for each channel of a grant, and a sender for each
//! channel makes them. Only the queue starts a delivery, so a replay or a rebuild sends nothing.
//! Several processes share the lanes.
//!
//! Independent of this, [`event_topic`] publishes every stored event, if that is switched on.

pub mod channels;
pub mod event_topic;
mod kafka;
pub mod message;
mod outbox;
mod senders;
mod upkeep;
mod waits;
pub mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event_store::Executor;
use plaudit_followers::{FollowerHealth, HeadWatch, Runner, Subject};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub use channels::Channels;
use channels::KAFKA;
pub use event_topic::EventTopic;
use kafka::publisher::Publisher;
pub use kafka::publisher::Topic;
use kafka::{KafkaSender, TopicState};
use outbox::Outbox;
use senders::{Desk, Senders};
use upkeep::Upkeep;
use webhook::{Client, WebhookSender};

/// The name of the follower's checkpoints and leases.
pub const FOLLOWER: &str = "delivery";

/// The name of the upkeep in warnings.
const UPKEEP: &str = "overdue deliveries";

/// Settings of the delivery.
#[derive(Debug, Clone)]
pub struct DeliveryOptions {
    /// The topic, by default `plaudit.rewards`.
    pub topic: Topic,
    /// The channels, which choose the payer of each grant.
    pub channels: Channels,
}

/// Error at the start of the delivery.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// librdkafka refuses a property.
    #[error("the Kafka client that publishes refuses its configuration: {0}")]
    Config(#[from] KafkaError),
    /// A property is set that only Plaudit may set.
    #[error("`kafka.properties` can't set `{name}`: {why}")]
    Property {
        /// The property.
        name: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// The HTTP client of a webhook can't be built.
    #[error("the HTTP client of webhooks can't be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// The running delivery.
#[derive(Debug)]
pub struct Delivery {
    runner: Runner,
}

impl Delivery {
    /// Starts the delivery. It waits for a broker that is down and for a missing topic.
    ///
    /// The delivery stops in order when `stop` is cancelled; [`Self::join`] waits for that.
    pub fn start(
        options: &DeliveryOptions,
        executor: &Arc<Executor>,
        pool: &PgPool,
        heads: Arc<HeadWatch>,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let publisher = Publisher::new(&options.topic)?;
        let channels = &options.channels;
        let client = |w: &channels::WebhookChannel| Client::new(w.timeout, w.allow_private);
        let clients =
            channels.webhooks.iter().map(client).collect::<Result<Vec<_>, reqwest::Error>>()?;
        let health = Arc::new(FollowerHealth::new(FOLLOWER));
        let senders = Arc::new(Senders::new(channels.clone()));
        let handler = {
            let (pool, health, senders) = (pool.clone(), Arc::clone(&health), Arc::clone(&senders));
            move || Outbox {
                pool: pool.clone(),
                health: Arc::clone(&health),
                senders: Arc::clone(&senders),
            }
        };
        let runner =
            Runner::start(FOLLOWER, handler, pool, heads, Arc::clone(&health), stop.clone());
        let desk = |name: &str| {
            let (executor, health) = (Arc::clone(executor), Arc::clone(&health));
            senders.desk(name, executor, pool.clone(), health, runner.held_lanes(), stop.clone())
        };
        let kafka = {
            let (desk, channel) = (desk(KAFKA), channels.kafka.clone());
            move || {
                let (desk, channel, publisher) = (desk.clone(), channel.clone(), publisher.clone());
                let (topic, failing) = (TopicState::Unknown, BTreeSet::new());
                KafkaSender { desk, channel, publisher, topic, failing }.run()
            }
        };
        senders.tasks.spawn(supervise("the sender of the topic", kafka, desk(KAFKA)));
        for (channel, client) in channels.webhooks.iter().cloned().zip(clients) {
            let name = format!("the sender of the channel {}", channel.name);
            let (own, supervisor) = (desk(&channel.name), desk(&channel.name));
            let sender = move || {
                let (desk, channel, client) = (own.clone(), channel.clone(), client.clone());
                WebhookSender { desk, channel, client }.run()
            };
            senders.tasks.spawn(supervise(name, sender, supervisor));
        }
        let upkeep = {
            let (desk, channels) = (desk(UPKEEP), channels.clone());
            move || Upkeep::new(desk.clone(), channels.clone()).run()
        };
        senders.tasks.spawn(supervise("the upkeep of deliveries", upkeep, desk(UPKEEP)));
        Ok(Self { runner })
    }

    /// The health of the delivery.
    pub fn health(&self) -> &Arc<FollowerHealth> {
        self.runner.health()
    }

    /// Waits for the end of the delivery, after `stop` of [`Self::start`] was cancelled.
    pub async fn join(self) {
        self.runner.join().await;
    }
}

/// Pause between a panic of a sender and its restart.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// Runs a task, and restarts it if it panics.
async fn supervise<F>(name: impl std::fmt::Display, task: impl Fn() -> F + Send, desk: Desk)
where
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(task()).await {
        let text = format!("{name} ended unexpectedly and is restarted: {error}");
        desk.health.report(Subject::Channel(name.to_string()), text);
        desk.pause(RESTART_AFTER).await;
        if desk.stop.is_cancelled() {
            break;
        }
    }
}
