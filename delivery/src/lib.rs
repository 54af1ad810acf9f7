//! Grants reach the paying systems: each claimed or automatic reward line is published once its
//! claim is committed, and at least once.
//!
//! A replay or a rebuild publishes nothing: the only thing that publishes is a follower that goes
//! by its stored checkpoints. Several processes share the lanes.

mod due;
mod follower;
mod message;
mod publisher;

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event_store::Executor;
use plaudit_followers::{FollowerHealth, HeadWatch, Runner};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use follower::{RewardFollower, TopicState};
use publisher::Publisher;

/// The name of the follower's checkpoints and leases.
pub const FOLLOWER: &str = "delivery";

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
    runner: Runner,
}

impl Delivery {
    /// Begins to deliver. A broker that is not there, or a topic that is missing, is waited for.
    ///
    /// Ends in order when `stop` is cancelled; [`Self::join`] waits for that.
    pub fn start(
        options: &DeliveryOptions,
        executor: Arc<Executor>,
        pool: &PgPool,
        heads: Arc<HeadWatch>,
        stop: CancellationToken,
    ) -> Result<Self, StartError> {
        let publisher = Publisher::new(options)?;
        let health = Arc::new(FollowerHealth::new(FOLLOWER));
        let handler = {
            let (pool, health) = (pool.clone(), Arc::clone(&health));
            move || RewardFollower {
                executor: Arc::clone(&executor),
                pool: pool.clone(),
                publisher: publisher.clone(),
                health: Arc::clone(&health),
                topic: TopicState::Unknown,
            }
        };
        Ok(Self { runner: Runner::start(FOLLOWER, handler, pool, heads, health, stop) })
    }

    /// How it does.
    pub fn health(&self) -> &Arc<FollowerHealth> {
        self.runner.health()
    }

    /// Waits for the end, which comes when `stop` of [`Self::start`] is cancelled.
    pub async fn join(self) {
        self.runner.join().await;
    }
}
