//! The follower that publishes: reads what is due, sends it, and stores that it was sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plaudit_domain::lane::Lane;
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::reader::Unreadable;
use plaudit_event_store::{
    Batch, CheckpointMove, ExecuteError, Executor, Item, Origin, Outcome, Work,
};
use plaudit_followers::bounded::{CALL_MAX, within};
use plaudit_followers::{FollowerHealth, Handler, LaneOutcome, Skipped, Span, Subject};
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tokio::time::Instant;

use crate::FOLLOWER;
use crate::due::{self, DueRewards};
use crate::publisher::Publisher;

/// How long it may take to store that rewards were sent, retries included.
const STORE_MAX: Duration = Duration::from_secs(8);

/// How often a missing topic is looked for while nothing is due.
const TOPIC_LOOK_EVERY: Duration = Duration::from_secs(5);

/// The notice that there is no topic to publish to.
const TOPIC: Subject = Subject::Notice("topic");

/// Why a round published nothing, or could not store what it published.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    #[error(
        "the topic {topic} does not exist; create it, and rewards are published to it in order"
    )]
    NoTopic { topic: String },
    #[error("rewards can't be published to the topic {topic}: {cause}")]
    Kafka { topic: String, cause: KafkaError },
    #[error("rewards can't be read from the log: {0}")]
    Read(#[from] sqlx::Error),
    #[error("deliveries can't be stored: {0}")]
    Store(#[from] ExecuteError),
}

pub struct RewardFollower {
    pub executor: Arc<Executor>,
    pub pool: PgPool,
    pub publisher: Publisher,
    pub health: Arc<FollowerHealth>,
    pub topic: TopicState,
}

/// What is known of the topic.
pub enum TopicState {
    Unknown,
    Missing { looked_at: Instant },
    Found,
}

#[async_trait]
impl Handler for RewardFollower {
    async fn handle(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String> {
        self.round(spans).await.map_err(|error| {
            metrics::counter!("plaudit_delivery_failures_total").increment(1);
            // Perhaps the topic was deleted.
            self.topic = TopicState::Unknown;
            error.to_string()
        })
    }

    async fn idle(&mut self) {
        match self.topic {
            TopicState::Missing { looked_at } if looked_at.elapsed() > TOPIC_LOOK_EVERY => {
                self.topic = TopicState::Unknown;
                self.look_for_topic().await;
            }
            TopicState::Unknown => self.look_for_topic().await,
            _ => {}
        }
    }

    async fn close(&mut self) {
        self.publisher.close().await;
    }
}

impl RewardFollower {
    async fn round(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, DeliveryError> {
        let mut due = due::read(spans, &self.pool).await?;
        let unreadable: Vec<Unreadable> =
            due.iter_mut().flat_map(|lane| std::mem::take(&mut lane.unreadable)).collect();
        self.note_unreadable(&unreadable).await?;
        let lanes: Vec<Lane> = due.iter().map(|lane| lane.span.lane).collect();
        let owing = due.iter().filter(|lane| !lane.rewards.is_empty()).count();
        if owing > 0 {
            self.find_topic().await?;
        }
        let mut failed = self.publisher.publish(&due).await;
        let (unsent, sent): (Vec<DueRewards>, Vec<DueRewards>) =
            due.into_iter().partition(|lane| failed.contains_key(&lane.span.lane));
        let rewards: usize = sent.iter().map(DueRewards::count).sum();
        let mut outcomes = self.note(sent).await?;
        metrics::counter!("plaudit_rewards_published_total").increment(rewards as u64);
        let topic = self.publisher.topic().to_owned();
        // If all that was tried has failed, the reason is not a lane's.
        if unsent.len() == owing
            && let Some((_, cause)) = failed.pop_first()
        {
            return Err(DeliveryError::Kafka { topic, cause });
        }
        for (lane, cause) in failed {
            let error = DeliveryError::Kafka { topic: topic.clone(), cause };
            outcomes.insert(lane, lane_failed(lane, &error));
        }
        Ok(lanes.iter().filter_map(|lane| outcomes.remove(lane)).collect())
    }

    /// Before anything is sent: a client that sends to a topic that is missing waits for it until
    /// its messages have expired.
    async fn find_topic(&mut self) -> Result<(), DeliveryError> {
        if matches!(self.topic, TopicState::Found) {
            return Ok(());
        }
        let topic = self.publisher.topic().to_owned();
        match self.publisher.finds_topic().await {
            Ok(true) => {
                self.topic = TopicState::Found;
                self.health.resolve(&TOPIC);
                Ok(())
            }
            Ok(false) => Err(DeliveryError::NoTopic { topic }),
            Err(cause) => Err(DeliveryError::Kafka { topic, cause }),
        }
    }

    /// While nothing is due, a missing topic is worth a warning and stops no work.
    async fn look_for_topic(&mut self) {
        if let Err(error) = self.find_topic().await {
            self.health.report(TOPIC, error.to_string());
            self.topic = TopicState::Missing { looked_at: Instant::now() };
        }
    }

    /// Names what can't be read, and keeps it: the checkpoint moves past it.
    async fn note_unreadable(&self, events: &[Unreadable]) -> Result<(), DeliveryError> {
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            self.health.user_unreadable(event.position.lane, &event.user, &event.to_string());
        }
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            Skipped::note(FOLLOWER, events, &mut connection).await?;
            connection.give_back();
            Ok::<_, sqlx::Error>(())
        };
        Ok(within(CALL_MAX, call).await?)
    }

    /// Stores that deliveries have started, and how far the follower has come: in one transaction,
    /// or, should something in it be refused, in one for each lane.
    async fn note(
        &self,
        sent: Vec<DueRewards>,
    ) -> Result<BTreeMap<Lane, LaneOutcome>, DeliveryError> {
        let mut outcomes = BTreeMap::new();
        let mut notes = Vec::new();
        for DueRewards { span, rewards, up_to, recovered, .. } in sent {
            let is_stored = !rewards.is_empty() || span.is_store_due;
            let handled = LaneOutcome::Handled { lane: span.lane, up_to, is_stored };
            outcomes.insert(span.lane, handled);
            if is_stored {
                let item = |(user, rewards)| Item {
                    lane: span.lane,
                    work: Work::StartDeliveries { user, rewards },
                    origin: Origin::Follower,
                };
                let items = rewards.into_iter().map(item).collect();
                notes.push(Note { items, step: span.checkpoint(FOLLOWER, up_to), recovered });
            }
        }
        if notes.is_empty() {
            return Ok(outcomes);
        }
        match self.store(&notes).await {
            Err(error) if is_of_lanes(&error) && notes.len() > 1 => {}
            stored => {
                stored?;
                return Ok(outcomes);
            }
        }
        for note in notes {
            let lane = note.step.lane;
            match self.store(std::slice::from_ref(&note)).await {
                Err(error) if is_of_lanes(&error) => {
                    outcomes.insert(lane, lane_failed(lane, &error));
                }
                stored => stored?,
            }
        }
        Ok(outcomes)
    }

    async fn store(&self, notes: &[Note]) -> Result<(), ExecuteError> {
        let batch = Batch {
            items: notes.iter().flat_map(|note| note.items.iter().cloned()).collect(),
            checkpoints: notes.iter().map(|note| note.step.clone()).collect(),
        };
        let applied = within(STORE_MAX, self.executor.execute(&batch)).await?;
        for (item, applied) in batch.items.iter().zip(applied) {
            let Work::StartDeliveries { user, .. } = &item.work else { continue };
            let about = Subject::User(item.lane, user.to_string());
            match applied.outcome {
                // They are published; for a damaged user they stay `claimed` on the screen.
                Outcome::Failed(reason) => self.health.report(
                    about,
                    format!("rewards of user {user} were published but not noted as delivering: {reason}"),
                ),
                _ => self.health.resolve(&about),
            }
        }
        self.forget_recovered(notes).await
    }

    async fn forget_recovered(&self, notes: &[Note]) -> Result<(), ExecuteError> {
        let recovered: Vec<_> = notes.iter().flat_map(|note| note.recovered.clone()).collect();
        if recovered.is_empty() {
            return Ok(());
        }
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            Skipped::forget(FOLLOWER, &recovered, &mut connection).await?;
            connection.give_back();
            Ok::<_, sqlx::Error>(())
        };
        Ok(within(CALL_MAX, call).await?)
    }
}

/// Whether the error is about some of the lanes: the others may be stored without them.
fn is_of_lanes(error: &ExecuteError) -> bool {
    matches!(
        error,
        ExecuteError::Refused(_) | ExecuteError::Unreadable(_) | ExecuteError::LanesBusy(_)
    )
}

/// What is to be stored for one lane.
struct Note {
    items: Vec<Item>,
    step: CheckpointMove,
    recovered: Vec<plaudit_domain::lane::Position>,
}

fn lane_failed(lane: Lane, error: &dyn std::error::Error) -> LaneOutcome {
    let reason = format!("rewards of lane {lane} are not delivered, and are tried again: {error}");
    LaneOutcome::Failed { lane, reason }
}
