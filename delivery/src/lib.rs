//! Grants reach the paying systems: each claimed or automatic reward line is published once its
//! claim is committed, and at least once.
//!
//! Nothing here runs in a replay or a rebuild: the only thing that publishes is a follower that
//! goes by its stored checkpoint.

mod follower;
mod health;
mod message;
mod pending;
mod publisher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event_store::Executor;
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use follower::Follower;
use health::Subject;
use publisher::Publisher;

pub use health::DeliveryHealth;

/// The name of the follower's checkpoints.
pub const FOLLOWER: &str = "delivery";

/// How long after a panic delivering is started anew.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// Where rewards go.
#[derive(Debug, Clone)]
pub struct DeliveryOptions {
    /// Addresses of the brokers.
    pub brokers: String,
    /// The topic, by default `plaudit.rewards`.
    pub topic: String,
    /// Further properties of the Kafka client, such as TLS and SASL.
    pub properties: BTreeMap<String, String>,
}

/// Why delivering did not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// librdkafka does not take its properties.
    #[error("the Kafka client that publishes rewards refuses its configuration: {0}")]
    Config(#[from] KafkaError),
    /// A property that is not the operator's to set.
    #[error("`kafka.properties` can't set `{name}`: {why}")]
    Property {
        /// Which.
        name: &'static str,
        /// Why not.
        why: &'static str,
    },
}

/// Publishes rewards until it is told to stop.
#[derive(Debug)]
pub struct Delivery {
    health: Arc<DeliveryHealth>,
    task: JoinHandle<()>,
}

impl Delivery {
    /// Begins to deliver. A broker that is not there, or a topic that is missing, is waited for.
    ///
    /// Ends in order when `stop` is cancelled; [`Self::join`] waits for that.
    pub fn start(
        options: &DeliveryOptions,
        executor: Arc<Executor>,
        pool: PgPool,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let publisher = Publisher::new(options)?;
        let health = Arc::new(DeliveryHealth::default());
        let told = Arc::clone(&health);
        let follower = move || Follower {
            executor: Arc::clone(&executor),
            pool: pool.clone(),
            publisher: publisher.clone(),
            health: Arc::clone(&told),
        };
        let task = tokio::spawn(keep_delivering(follower, Arc::clone(&health), stop));
        Ok(Self { health, task })
    }

    /// How it goes.
    pub fn health(&self) -> &Arc<DeliveryHealth> {
        &self.health
    }

    /// Waits for the end, which comes when `stop` of [`Self::start`] is cancelled.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "delivering has panicked");
        }
    }
}

async fn keep_delivering(
    follower: impl Fn() -> Follower,
    health: Arc<DeliveryHealth>,
    stop: CancellationToken,
) {
    while let Err(error) = tokio::spawn(follower().run(stop.clone())).await {
        let problem = format!("delivering rewards ended unexpectedly and is started anew: {error}");
        health.report(Subject::Task, problem);
        if tokio::time::timeout(RESTART_AFTER, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
