//! The follower: from its checkpoints to the topic, round by round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::{
    Batch, CheckpointMove, ExecuteError, Executor, Item, Origin, Outcome, Work,
};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use sqlx::pool::PoolConnection;
use tokio_util::sync::CancellationToken;

use crate::health::{DeliveryHealth, Subject};
use crate::pending::{Cursor, Owed};
use crate::publisher::Publisher;

/// Why a round of deliveries did not finish. It is tried again from the checkpoint.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(
        "the topic {topic} does not exist; rewards are published, in order, as soon as it does"
    )]
    NoTopic { topic: String },
    #[error("rewards can't be published to the topic {topic}: {cause}")]
    Kafka { topic: String, cause: KafkaError },
    #[error("deliveries can't be noted: {0}")]
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

/// How long a round may still take once it is to stop. What it has published by then and could not
/// note is published again.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

pub struct Follower {
    pub executor: Arc<Executor>,
    pub pool: PgPool,
    pub publisher: Publisher,
    pub health: Arc<DeliveryHealth>,
}

struct Delivery {
    means: Follower,
    /// Held while this process is the one that delivers; its session holds the advisory lock.
    lease: Option<PoolConnection<sqlx::Postgres>>,
    cursor: Cursor,
    topic_found: bool,
}

impl Follower {
    /// Delivers until it is told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut delivery =
            Delivery { means: self, lease: None, cursor: Cursor::default(), topic_found: false };
        let mut failures = 0u32;
        while !stop.is_cancelled() {
            let too_late = async {
                stop.cancelled().await;
                tokio::time::sleep(STOP_PATIENCE).await;
            };
            let round = tokio::select! {
                round = delivery.round() => round,
                () = too_late => break,
            };
            let wait = match round {
                Ok(published) => {
                    failures = 0;
                    delivery.means.health.resolve(Subject::Round);
                    delivery.means.health.resolve(Subject::Task);
                    if published == 0 { IDLE } else { Duration::ZERO }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    metrics::counter!("plaudit_delivery_failures_total").increment(1);
                    delivery.means.health.report(Subject::Round, error.to_string());
                    delivery.forget();
                    BACKOFF_MAX.min(IDLE * 2u32.saturating_pow(failures.min(8)))
                }
            };
            let _ = tokio::time::timeout(wait, stop.cancelled()).await;
        }
        delivery.forget();
        delivery.means.publisher.close().await;
    }
}

impl Delivery {
    /// Delivers what is owed, as far as it fits into one round. Returns how many rewards that were.
    async fn round(&mut self) -> Result<usize, DeliveryError> {
        if !self.hold_lease().await? {
            return Ok(0);
        }
        self.find_topic().await?;
        let (owed, unreadable) = self.cursor.read(&self.means.pool).await?;
        for (lane, error) in unreadable {
            self.report(lane, &error);
        }
        let failed = self.means.publisher.publish(&owed).await;
        let owing = owed.iter().filter(|lane| !lane.rewards.is_empty()).count();
        let (undone, done): (Vec<Owed>, Vec<Owed>) =
            owed.into_iter().partition(|lane| failed.contains_key(&lane.lane));
        let rewards: usize = done.iter().map(Owed::count).sum();
        self.note(done).await?;
        metrics::counter!("plaudit_rewards_published_total").increment(rewards as u64);
        self.suspend(&undone, failed, owing)?;
        Ok(rewards)
    }

    /// Before anything is sent: a client that sends to a topic that is missing waits for it until
    /// its messages have expired.
    async fn find_topic(&mut self) -> Result<(), DeliveryError> {
        if self.topic_found {
            return Ok(());
        }
        let topic = self.means.publisher.topic().to_owned();
        match self.means.publisher.finds_topic().await {
            Ok(true) => {
                self.topic_found = true;
                Ok(())
            }
            Ok(false) => Err(DeliveryError::NoTopic { topic }),
            Err(cause) => Err(DeliveryError::Kafka { topic, cause }),
        }
    }

    /// Where all that was tried has failed, the reason is not a lane's.
    fn suspend(
        &mut self,
        undone: &[Owed],
        mut failed: BTreeMap<Lane, KafkaError>,
        owing: usize,
    ) -> Result<(), DeliveryError> {
        let topic = self.means.publisher.topic().to_owned();
        if undone.len() == owing
            && let Some((_, cause)) = failed.pop_first()
        {
            return Err(DeliveryError::Kafka { topic, cause });
        }
        for (lane, cause) in failed {
            self.cursor.suspend(lane);
            self.report(lane, &DeliveryError::Kafka { topic: topic.clone(), cause });
        }
        Ok(())
    }

    fn report(&self, lane: Lane, error: &dyn std::error::Error) {
        let problem =
            format!("rewards of lane {lane} are not delivered, and are tried again: {error}");
        self.means.health.report(Subject::Lane(lane), problem);
    }

    /// Stores that deliveries have started, and how far the follower has come: in one transaction,
    /// or, should something in it be refused, in one for each lane.
    async fn note(&mut self, owed: Vec<Owed>) -> Result<(), DeliveryError> {
        let moves = self.cursor.moves_due(&owed);
        let mut items: BTreeMap<Lane, Vec<Item>> = BTreeMap::new();
        for Owed { lane, rewards, .. } in owed {
            let item = |(user, rewards)| Item {
                lane,
                work: Work::StartDeliveries { user, rewards },
                origin: Origin::Follower,
            };
            items.entry(lane).or_default().extend(rewards.into_iter().map(item));
        }
        if moves.is_empty() {
            return Ok(());
        }
        let all = items.values().flatten().cloned().collect();
        match self.store(all, &moves).await {
            Err(ExecuteError::Refused(_) | ExecuteError::Unreadable(_)) if moves.len() > 1 => {}
            stored => return Ok(stored?),
        }
        for step in moves {
            let items = items.remove(&step.lane).unwrap_or_default();
            match self.store(items, std::slice::from_ref(&step)).await {
                Err(error @ (ExecuteError::Refused(_) | ExecuteError::Unreadable(_))) => {
                    self.cursor.suspend(step.lane);
                    self.report(step.lane, &error);
                }
                stored => stored?,
            }
        }
        Ok(())
    }

    async fn store(
        &mut self,
        items: Vec<Item>,
        moves: &[CheckpointMove],
    ) -> Result<(), ExecuteError> {
        let batch = Batch { items, checkpoints: moves.to_vec() };
        let applied = self.means.executor.execute(&batch).await?;
        self.cursor.moved(moves);
        for step in moves {
            self.means.health.resolve(Subject::Lane(step.lane));
        }
        // They are published; what can't be noted of a damaged user stays `claimed` on the screen.
        for (item, applied) in batch.items.iter().zip(applied) {
            if let Outcome::Failed(reason) = applied.outcome {
                let problem =
                    format!("rewards were published but not noted as delivering: {reason}");
                self.means.health.report(Subject::Lane(item.lane), problem);
            }
        }
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
        let mut connection = self.means.pool.acquire().await?;
        let held: bool =
            sqlx::query_scalar("select pg_try_advisory_lock(hashtext('plaudit delivery'))")
                .fetch_one(&mut *connection)
                .await?;
        if held {
            // Kept before anything can fail: whatever does, `forget` closes the session with its lock.
            self.lease = Some(connection);
            self.cursor = Cursor::load(&self.means.pool).await?;
        }
        Ok(held)
    }

    /// Gives up the lease and what was remembered: the next round begins from what is stored.
    fn forget(&mut self) {
        self.cursor = Cursor::default();
        self.topic_found = false;
        if let Some(lease) = self.lease.take() {
            // Closed rather than given back: its session holds the lock.
            drop(lease.detach());
        }
    }
}

impl Drop for Delivery {
    /// A lease is never given back to the pool with its lock, not even by a panic.
    fn drop(&mut self) {
        self.forget();
    }
}
