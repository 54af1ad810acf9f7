//! The sender of the topic: it publishes every grant in the order of the log, lane by lane.

mod begins;
mod failing;
pub mod publisher;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Verdict;
use plaudit_event_store::deliveries::{self, Attempt, DeliveryState, Due, Noted};
use plaudit_followers::{Subject, backoff};
use rdkafka::error::KafkaError;
use sqlx::PgConnection;
use tokio::time::Instant;

use crate::channels::{Ack, KAFKA, KafkaChannel};
use crate::message::{self, Role};
use crate::senders::{Desk, Report};
pub use begins::Begins;
pub use failing::FailingLanes;
use publisher::{Outgoing, Publisher, Sent};

/// Maximum number of records in a round, over all lanes. Far below the 100,000 records that the
/// Kafka client holds by default, and acknowledged within a second or so.
const ROUND: usize = 5_000;
/// Bounds of one lane's share in a round.
const PER_LANE: std::ops::RangeInclusive<usize> = 50..=500;
/// Interval between looks for a missing topic while nothing is due.
const TOPIC_LOOK_EVERY: Duration = Duration::from_secs(5);
/// Notice that the topic is missing.
const TOPIC: Subject = Subject::Notice("topic");
/// Problem that nothing can be published.
const PUBLISHING: Subject = Subject::Part("kafka");

/// Error of a round, which then published nothing.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(
        "the topic {topic} does not exist; create it, and rewards are published to it in order"
    )]
    NoTopic { topic: String },
    #[error("rewards can't be published to the topic {topic}: {cause}")]
    Kafka { topic: String, cause: KafkaError },
    #[error("deliveries can't be read: {0}")]
    Read(#[from] sqlx::Error),
    #[error("deliveries can't be stored: {0}")]
    Store(#[from] plaudit_event_store::ExecuteError),
}

/// Publishes grants to the topic.
pub struct KafkaSender {
    pub desk: Desk,
    pub channel: KafkaChannel,
    pub publisher: Publisher,
    pub topic: TopicState,
    pub failing: FailingLanes,
    pub begins: Begins,
}

/// Result of the last look for the topic.
pub enum TopicState {
    Unknown,
    Missing { looked_at: Instant },
    Found,
}

impl KafkaSender {
    pub async fn run(mut self) {
        let mut waits = backoff();
        while !self.desk.stop.is_cancelled() {
            match self.round().await {
                Ok(published) => {
                    waits = backoff();
                    self.desk.health.resolve(&PUBLISHING);
                    if published == 0 {
                        self.look_for_topic().await;
                        self.desk.rest().await;
                    }
                }
                Err(error) => {
                    metrics::counter!("plaudit_delivery_failures_total").increment(1);
                    // Perhaps the topic was deleted.
                    self.topic = TopicState::Unknown;
                    self.desk.health.report(PUBLISHING, error.to_string());
                    self.desk.pause(waits.next().unwrap_or_default()).await;
                }
            }
        }
        self.publisher.close().await;
    }

    /// Publishes due deliveries, up to a full round. Returns the number of records that need no
    /// further attempt.
    async fn round(&mut self) -> Result<usize, PublishError> {
        self.desk.store(vec![]).await?;
        let lanes = self.desk.lanes();
        self.forget_lanes();
        if lanes.is_empty() {
            return Ok(0);
        }
        let per_lane = (ROUND / lanes.len()).clamp(*PER_LANE.start(), *PER_LANE.end());
        let per_lane = i64::try_from(per_lane).unwrap_or(i64::MAX);
        let lanes = self.begins.of(&lanes, Instant::now());
        let take = async |connection: &mut PgConnection| {
            deliveries::next_in_order(&lanes, per_lane, connection).await
        };
        let mut due = self.desk.call(take).await?;
        if due.is_empty() {
            return Ok(0);
        }
        self.begins.note_read(&due);
        self.failing.keep_first(&mut due, &self.desk.held());
        self.find_topic().await?;
        let due = match self.channel.ack {
            Ack::None => self.desk.hand_over(due).await?,
            Ack::Action | Ack::Response => self.desk.clear(due).await?,
        };
        let began = (Timestamp::now(), Instant::now());
        let outgoing = due.iter().map(|due| Outgoing {
            lane: due.lane,
            key: due.user.to_string(),
            body: message::body(&due.user, &due.reward, Role::of(due)),
        });
        let sent = self.publisher.publish(&outgoing.collect::<Vec<_>>()).await;
        let mut failed: BTreeMap<Lane, KafkaError> = BTreeMap::new();
        let mut reports = Vec::with_capacity(due.len());
        for (due, sent) in due.into_iter().zip(sent) {
            match sent {
                Sent::Stored(partition, offset) => {
                    self.desk.health.resolve(&about_lane(due.lane));
                    reports.push(self.published(due, began, (partition, offset)));
                }
                Sent::Failed(cause) if self.failing.gives_up(due.lane, &cause, began.1) => {
                    reports.push(self.refused(due, began, &cause));
                }
                Sent::Failed(cause) => drop(failed.insert(due.lane, cause)),
                Sent::Held => {}
            }
        }
        let ended = reports.iter().map(|report| &report.due.lane);
        self.failing.note(ended, failed.keys(), began.1);
        let refused =
            reports.iter().filter(|report| report.noted.state == DeliveryState::Failed).count();
        let published = reports.len() - refused;
        metrics::counter!("plaudit_rewards_published_total").increment(published as u64);
        attempted("published", published);
        attempted("refused", refused);
        attempted("failed", failed.len());
        self.desk.store(reports).await?;
        let topic = self.publisher.topic().to_owned();
        // If everything failed, the cause is not in a single lane.
        if published + refused == 0
            && let Some((_, cause)) = failed.pop_first()
        {
            return Err(PublishError::Kafka { topic, cause });
        }
        for (lane, cause) in failed {
            let text = format!(
                "rewards of lane {lane} are not published to the topic {topic}, and are tried again: {cause}"
            );
            self.desk.health.report(about_lane(lane), text);
        }
        Ok(published + refused)
    }

    /// The outcome of a record that the broker refuses for good. Sending it again would hold up its
    /// lane for ever.
    fn refused(&self, due: Due, began: (Timestamp, Instant), cause: &KafkaError) -> Report {
        let reason = format!("the broker refuses the record for good: {cause}");
        let verdict = Some(Verdict::Failed { reason: reason.clone() });
        self.outcome(due, began, (DeliveryState::Failed, verdict), (Some(reason), None))
    }

    fn published(
        &self,
        due: Due,
        began: (Timestamp, Instant),
        (partition, offset): (i32, i64),
    ) -> Report {
        // A copy is finished once it is published; another channel leads to the payer.
        let is_confirmed = !due.pays || self.channel.ack == Ack::None;
        let state = if is_confirmed { DeliveryState::Delivered } else { DeliveryState::Sent };
        let verdict = is_confirmed.then_some(Verdict::Delivered);
        let answer = Some(format!("partition {partition}, offset {offset}"));
        self.outcome(due, began, (state, verdict), (None, answer))
    }

    fn outcome(
        &self,
        due: Due,
        (at, began): (Timestamp, Instant),
        (state, verdict): (DeliveryState, Option<Verdict>),
        (error, answer): (Option<String>, Option<String>),
    ) -> Report {
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let noted = Noted {
            lane: due.lane,
            grant: due.reward.grant,
            state,
            redeliveries: due.redeliveries,
            wait: Duration::ZERO,
            acknowledged_within: self.channel.ack_within,
            attempt: Attempt { at, duration_ms, status: None, error, answer },
        };
        Report { due, verdict, noted }
    }

    /// Drops the problems of lanes that other processes hold now.
    fn forget_lanes(&self) {
        let held = self.desk.held();
        self.desk.health.forget_channels(|name| {
            let lane = name.strip_prefix("kafka/").and_then(|lane| lane.parse().ok());
            lane.is_none_or(|lane| held.contains(&Lane(lane)))
        });
    }

    /// Fails if the topic is missing. Called before anything is sent: a client that sends to a
    /// missing topic waits for it until its messages have expired.
    async fn find_topic(&mut self) -> Result<(), PublishError> {
        if matches!(self.topic, TopicState::Found) {
            return Ok(());
        }
        let topic = self.publisher.topic().to_owned();
        match self.publisher.finds_topic().await {
            Ok(true) => {
                self.topic = TopicState::Found;
                self.desk.health.resolve(&TOPIC);
                Ok(())
            }
            Ok(false) => Err(PublishError::NoTopic { topic }),
            Err(cause) => Err(PublishError::Kafka { topic, cause }),
        }
    }

    /// Warns of a missing topic while nothing is due; that stops no work yet.
    async fn look_for_topic(&mut self) {
        let is_due = match self.topic {
            TopicState::Unknown => true,
            TopicState::Missing { looked_at } => looked_at.elapsed() > TOPIC_LOOK_EVERY,
            TopicState::Found => false,
        };
        if is_due && !self.desk.held().is_empty() {
            self.topic = TopicState::Unknown;
            if let Err(error) = self.find_topic().await {
                self.desk.health.report(TOPIC, error.to_string());
                self.topic = TopicState::Missing { looked_at: Instant::now() };
            }
        }
    }
}

fn about_lane(lane: Lane) -> Subject {
    Subject::Channel(format!("{KAFKA}/{lane}"))
}

fn attempted(result: &'static str, count: usize) {
    if count > 0 {
        metrics::counter!("plaudit_delivery_attempts_total", "channel" => KAFKA, "result" => result)
            .increment(count as u64);
    }
}
