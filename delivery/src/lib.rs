//! Grants reach the paying systems: each claimed or automatic reward line is published once its
//! claim is committed, and at least once.
//!
//! Nothing here runs in a replay or a rebuild: the only thing that publishes is a follower that
//! goes by its stored checkpoint.

mod message;
mod pending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::{Batch, CheckpointMove, ExecuteError, Executor, Item, Origin, Work};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use tokio_util::sync::CancellationToken;

use pending::{Cursor, Owed};

/// The name of the follower's checkpoints.
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

/// Why a round of deliveries did not finish. It is tried again from the checkpoint.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(
        "the topic {topic} did not take a reward: {cause}; does it exist, and may this client write to it?"
    )]
    Kafka { topic: String, cause: KafkaError },
    #[error(transparent)]
    Store(#[from] ExecuteError),
}

impl From<sqlx::Error> for DeliveryError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How long a round waits when it found nothing.
const IDLE: Duration = Duration::from_millis(50);

/// How long a round waits after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Publishes rewards until it is told to stop.
pub async fn run(
    options: DeliveryOptions,
    executor: Arc<Executor>,
    pool: PgPool,
    stop: CancellationToken,
) {
    let mut delivery = match Delivery::new(options, executor, pool) {
        Ok(delivery) => delivery,
        Err(error) => {
            tracing::error!(%error, "rewards can't be delivered: the Kafka client refuses its settings: {error}");
            return;
        }
    };
    let mut failures = 0u32;
    while !stop.is_cancelled() {
        let wait = match delivery.round().await {
            Ok(0) => IDLE,
            Ok(_) => Duration::ZERO,
            Err(error) => {
                if failures == 0 {
                    tracing::warn!(%error, "delivering rewards failed and is tried again: {error}");
                }
                failures = failures.saturating_add(1);
                metrics::counter!("plaudit_delivery_failures_total").increment(1);
                delivery.forget();
                BACKOFF_MAX.min(IDLE * 2u32.saturating_pow(failures.min(8)))
            }
        };
        if wait <= IDLE && failures > 0 {
            tracing::info!("delivering rewards works again");
            failures = 0;
        }
        let _ = tokio::time::timeout(wait, stop.cancelled()).await;
    }
    delivery.close().await;
}

struct Delivery {
    options: DeliveryOptions,
    executor: Arc<Executor>,
    pool: PgPool,
    producer: FutureProducer,
    /// Held while this process is the one that delivers; its session holds the advisory lock.
    lease: Option<PoolConnection<sqlx::Postgres>>,
    cursor: Cursor,
}

impl Delivery {
    fn new(
        options: DeliveryOptions,
        executor: Arc<Executor>,
        pool: PgPool,
    ) -> Result<Self, KafkaError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &options.brokers)
            .set("client.id", "plaudit-delivery")
            // Order per user survives retries, and a retried send is not a second record.
            .set("enable.idempotence", "true")
            // A round waits for its acknowledgements; longer than this and it starts over.
            .set("message.timeout.ms", "10000")
            .set("linger.ms", "2")
            // The partitioner that producers of actions are told to use as well.
            .set("partitioner", "murmur2_random");
        for (name, value) in &options.properties {
            config.set(name, value);
        }
        let producer = config.create()?;
        Ok(Self { options, executor, pool, producer, lease: None, cursor: Cursor::default() })
    }

    /// Delivers what is owed, up to a page per lane. Returns how many rewards that were.
    async fn round(&mut self) -> Result<usize, DeliveryError> {
        if !self.hold_lease().await? {
            return Ok(0);
        }
        let owed = self.cursor.read(&self.pool).await?;
        let rewards: usize =
            owed.iter().map(|lane| lane.rewards.iter().map(|(_, r)| r.len()).sum::<usize>()).sum();
        if rewards > 0 {
            self.publish(&owed).await?;
        }
        self.note(owed).await?;
        metrics::counter!("plaudit_rewards_published_total").increment(rewards as u64);
        Ok(rewards)
    }

    /// Sends all rewards and waits until the broker has them.
    async fn publish(&self, owed: &[Owed]) -> Result<(), DeliveryError> {
        let mut sent = Vec::new();
        for (user, rewards) in owed.iter().flat_map(|lane| &lane.rewards) {
            for reward in rewards {
                let body = message::body(user, reward);
                let record = FutureRecord::to(&self.options.topic)
                    .key(user.as_str())
                    .payload(&body)
                    .headers(message::headers());
                match self.producer.send_result(record) {
                    Ok(delivery) => sent.push(delivery),
                    Err((cause, _)) => return Err(self.kafka(cause)),
                }
            }
        }
        for delivery in sent {
            match delivery.await {
                Ok(Ok(_)) => {}
                Ok(Err((cause, _))) => return Err(self.kafka(cause)),
                Err(_) => return Err(self.kafka(KafkaError::Canceled)),
            }
        }
        Ok(())
    }

    fn kafka(&self, cause: KafkaError) -> DeliveryError {
        DeliveryError::Kafka { topic: self.options.topic.clone(), cause }
    }

    /// Stores that deliveries have started, and how far the follower has come, in one transaction.
    async fn note(&mut self, owed: Vec<Owed>) -> Result<(), DeliveryError> {
        let moves = self.cursor.moves_due(&owed);
        if moves.is_empty() {
            return Ok(());
        }
        let item = |lane: Lane, user, rewards| Item {
            lane,
            work: Work::StartDeliveries { user, rewards },
            origin: Origin::Follower,
        };
        let items = owed
            .into_iter()
            .flat_map(|o| {
                o.rewards.into_iter().map(move |(user, rewards)| item(o.lane, user, rewards))
            })
            .collect();
        let checkpoints: Vec<CheckpointMove> = moves;
        self.executor.execute(Batch { items, checkpoints: checkpoints.clone() }).await?;
        self.cursor.moved(&checkpoints);
        Ok(())
    }

    /// Makes sure that only one process delivers at a time. Correctness does not depend on it:
    /// checkpoints only move from where their follower thinks they are.
    async fn hold_lease(&mut self) -> Result<bool, DeliveryError> {
        if let Some(lease) = &mut self.lease {
            if sqlx::query("select 1").execute(&mut **lease).await.is_ok() {
                return Ok(true);
            }
            self.forget();
        }
        let mut connection = self.pool.acquire().await?;
        let held: bool =
            sqlx::query_scalar("select pg_try_advisory_lock(hashtext('plaudit delivery'))")
                .fetch_one(&mut *connection)
                .await?;
        if held {
            // Kept before anything can fail: whatever does, `forget` closes the session with its lock.
            self.lease = Some(connection);
            self.cursor = Cursor::load(&self.pool).await?;
        }
        Ok(held)
    }

    /// Gives up the lease and what was remembered: the next round begins from what is stored.
    fn forget(&mut self) {
        self.cursor = Cursor::default();
        if let Some(lease) = self.lease.take() {
            // Closed rather than given back: its session holds the lock.
            drop(lease.detach());
        }
    }

    async fn close(mut self) {
        self.forget();
        let producer = self.producer;
        let flushed =
            tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(2))).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the broker did not take the last rewards; they are sent again");
        }
    }
}
