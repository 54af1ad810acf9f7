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
use kafka::{Begins, FailingLanes, KafkaSender, LANE_HALVES, TopicState};
use outbox::Outbox;
use senders::Senders;
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
    /// The time for which a record is tried that the broker refuses whenever it is sent, as one
    /// that is too long for the topic. Then its delivery fails, and the rewards behind it are sent.
    pub refused_for: Duration,
}

/// [`DeliveryOptions::refused_for`] of the program. Long enough to raise the topic's limit.
pub const REFUSED_FOR: Duration = Duration::from_secs(60);

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
        let (channels, refused_for) = (&options.channels, options.refused_for);
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
        for half in LANE_HALVES {
            let (desk, channel, publisher) =
                (desk(KAFKA), channels.kafka.clone(), publisher.clone());
            let sender = move || {
                let (desk, channel, publisher) = (desk.clone(), channel.clone(), publisher.clone());
                let failing = FailingLanes::new(refused_for);
                let (topic, begins) = (TopicState::Unknown, Begins::default());
                KafkaSender { half, desk, channel, publisher, topic, failing, begins }.run()
            };
            let name = "a sender of the topic".to_owned();
            senders.tasks.spawn(supervise(
                name,
                RESTART,
                sender,
                Arc::clone(&health),
                stop.clone(),
            ));
        }
        for (channel, client) in channels.webhooks.iter().cloned().zip(clients) {
            let name = format!("the sender of the channel {}", channel.name);
            let own = desk(&channel.name);
            let sender = move || {
                let (desk, channel, client) = (own.clone(), channel.clone(), client.clone());
                WebhookSender { desk, channel, client }.run()
            };
            senders.tasks.spawn(supervise(
                name,
                RESTART,
                sender,
                Arc::clone(&health),
                stop.clone(),
            ));
        }
        let upkeep = {
            let (desk, channels) = (desk(UPKEEP), channels.clone());
            move || Upkeep::new(desk.clone(), channels.clone()).run()
        };
        let name = "the upkeep of deliveries".to_owned();
        senders.tasks.spawn(supervise(name, RESTART, upkeep, Arc::clone(&health), stop.clone()));
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

/// Reaction to a panic of a task.
#[derive(Clone, Copy)]
struct Restart {
    /// Pause between the panic and the restart.
    after: Duration,
    /// Time without another panic after which the task is taken to work again, so that the warning
    /// of the panic ends.
    works_after: Duration,
}

const RESTART: Restart =
    Restart { after: Duration::from_secs(5), works_after: Duration::from_secs(60) };

/// Runs a task, and restarts it if it panics.
async fn supervise<F>(
    name: String,
    restart: Restart,
    task: impl Fn() -> F + Send,
    health: Arc<FollowerHealth>,
    stop: CancellationToken,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let about = Subject::Channel(name.clone());
    let mut has_panicked = false;
    loop {
        let mut running = tokio::spawn(task());
        let ended = tokio::select! {
            ended = &mut running => ended,
            () = tokio::time::sleep(restart.works_after), if has_panicked => {
                health.resolve(&about);
                running.await
            }
        };
        let Err(error) = ended else { return };
        has_panicked = true;
        let text = format!("{name} ended unexpectedly and is restarted: {error}");
        health.report(about.clone(), text);
        if stop.run_until_cancelled(tokio::time::sleep(restart.after)).await.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_warning_of_a_panic_ends_once_the_task_works_again() {
        let health = Arc::new(FollowerHealth::new(FOLLOWER));
        let (stop, runs) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let task = {
            let (health, stop, runs) = (Arc::clone(&health), stop.clone(), Arc::clone(&runs));
            move || {
                let (health, stop, runs) = (Arc::clone(&health), stop.clone(), Arc::clone(&runs));
                async move {
                    assert!(runs.fetch_add(1, Ordering::Relaxed) > 0, "the first run fails");
                    let warnings = health.warnings();
                    assert!(warnings[0].contains("ended unexpectedly"), "{warnings:?}");
                    stop.cancelled().await;
                }
            }
        };
        let restart =
            Restart { after: Duration::from_millis(10), works_after: Duration::from_millis(100) };
        let supervised =
            supervise("a sender".to_owned(), restart, task, Arc::clone(&health), stop.clone());
        let supervised = tokio::spawn(supervised);
        let resolved = async {
            while runs.load(Ordering::Relaxed) < 2 || !health.warnings().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), resolved).await.unwrap();
        stop.cancel();
        supervised.await.unwrap();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
