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
use failing::is_final;
use publisher::{Outgoing, Publisher, Sent};

/// Maximum number of records in a round of a sender, over its lanes. Far below the 100,000 records
/// that the Kafka client holds by default, and acknowledged within a second or so.
const ROUND: usize = 5_000;
/// Bounds of one lane's share in a round.
const PER_LANE: std::ops::RangeInclusive<usize> = 50..=500;
/// Interval between looks for a missing topic while nothing is due.
const TOPIC_LOOK_EVERY: Duration = Duration::from_secs(5);
/// Notice that the topic is missing.
const TOPIC: Subject = Subject::Notice("topic");

/// Half of the lanes, which has a sender of its own. While one sender waits for the database, the
/// other publishes. They share nothing: a user's rewards are in one lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneHalf {
    index: usize,
    /// The name of the problem that nothing of this half can be published.
    name: &'static str,
}

/// Both halves.
pub const LANE_HALVES: [LaneHalf; 2] = [
    LaneHalf { index: 0, name: "kafka, even lanes" },
    LaneHalf { index: 1, name: "kafka, odd lanes" },
];

impl LaneHalf {
    fn has(self, lane: Lane) -> bool {
        usize::try_from(lane.0).unwrap_or_default() % LANE_HALVES.len() == self.index
    }

    fn problem(self) -> Subject {
        Subject::Part(self.name)
    }
}

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

/// Publishes the grants of half of the lanes to the topic.
pub struct KafkaSender {
    pub half: LaneHalf,
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
                    self.desk.health.resolve(&self.half.problem());
                    if published == 0 {
                        self.look_for_topic().await;
                        self.desk.rest().await;
                    }
                }
                Err(error) => {
                    metrics::counter!("plaudit_delivery_failures_total").increment(1);
                    // Perhaps the topic was deleted.
                    self.topic = TopicState::Unknown;
                    self.desk.health.report(self.half.problem(), error.to_string());
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
        let due = self.next_due().await?;
        if due.is_empty() {
            return Ok(0);
        }
        self.find_topic().await?;
        let due = match self.channel.ack {
            Ack::None => self.desk.hand_over(due).await?,
            Ack::Action | Ack::Response => self.desk.clear(due).await?,
        };
        let (mut reports, mut failures) = self.publish(due).await;
        reports.extend(self.give_up(&mut failures).await);
        let ended = reports.len();
        count_attempts(&reports, failures.len());
        self.desk.store(reports).await?;
        let topic = self.publisher.topic().to_owned();
        // If everything failed, and not for what the records are, the cause is not in single lanes.
        if ended == 0
            && let Some(place) = failures.iter().position(|failure| !is_final(&failure.cause))
        {
            return Err(PublishError::Kafka { topic, cause: failures.swap_remove(place).cause });
        }
        for Failure { due, cause } in failures {
            let text = format!(
                "rewards of lane {} are not published to the topic {topic}, and are tried again: {cause}",
                due.lane
            );
            self.desk.health.report(about_lane(due.lane), text);
        }
        Ok(ended)
    }

    /// Reads what is due in the lanes of this sender.
    async fn next_due(&mut self) -> Result<Vec<Due>, PublishError> {
        let mut lanes = self.desk.lanes();
        lanes.retain(|lane| self.half.has(*lane));
        self.forget_lanes();
        if lanes.is_empty() {
            return Ok(vec![]);
        }
        let per_lane = (ROUND / lanes.len()).clamp(*PER_LANE.start(), *PER_LANE.end());
        let per_lane = i64::try_from(per_lane).unwrap_or(i64::MAX);
        let lanes = self.begins.of(&lanes, Instant::now());
        let take = async |connection: &mut PgConnection| {
            deliveries::next_in_order(&lanes, per_lane, connection).await
        };
        let mut due = self.desk.call(take).await?;
        self.begins.note_read(&due);
        self.failing.keep_first(&mut due, &self.desk.held());
        Ok(due)
    }

    /// Sends records and waits for their outcomes. Returns the reports of those that the broker has,
    /// and the first failure of each lane.
    async fn publish(&mut self, due: Vec<Due>) -> (Vec<Report>, Vec<Failure>) {
        let began = (Timestamp::now(), Instant::now());
        let sent = self.publisher.publish(&due.iter().map(outgoing).collect::<Vec<_>>()).await;
        let mut failures: BTreeMap<Lane, Failure> = BTreeMap::new();
        let mut reports = Vec::with_capacity(due.len());
        for (due, sent) in due.into_iter().zip(sent) {
            match sent {
                Sent::Stored(partition, offset) => {
                    self.failing.ends(due.lane);
                    self.desk.health.resolve(&about_lane(due.lane));
                    reports.push(self.published(due, began, (partition, offset)));
                }
                Sent::Failed(cause) => {
                    failures.entry(due.lane).or_insert(Failure { due, cause });
                }
                Sent::Held => {}
            }
        }
        (reports, failures.into_values().collect())
    }

    /// Publishes each record by itself that the broker has refused for too long, and gives it up if
    /// it is refused again. Before, it may have been refused because of others in its batch.
    async fn give_up(&mut self, failures: &mut Vec<Failure>) -> Vec<Report> {
        let mut reports = Vec::new();
        for Failure { due, cause } in std::mem::take(failures) {
            let now = Instant::now();
            let is_given_up = self.failing.fails(due.lane, due.reward.grant, &cause, now);
            // Whatever fails otherwise now would take as long for each of the next ones.
            let goes_on = failures.iter().all(|failure| is_final(&failure.cause));
            if !is_given_up || !goes_on || !self.desk.may_send_from(due.lane) {
                failures.push(Failure { due, cause });
                continue;
            }
            let began = (Timestamp::now(), now);
            let report = match self.publisher.publish(&[outgoing(&due)]).await.pop() {
                Some(Sent::Stored(partition, offset)) => {
                    self.published(due, began, (partition, offset))
                }
                Some(Sent::Failed(cause)) if is_final(&cause) => self.refused(due, began, &cause),
                sent => {
                    let cause = match sent {
                        Some(Sent::Failed(new_cause)) => new_cause,
                        _ => cause,
                    };
                    failures.push(Failure { due, cause });
                    continue;
                }
            };
            self.failing.ends(report.due.lane);
            self.desk.health.resolve(&about_lane(report.due.lane));
            reports.push(report);
        }
        reports
    }

    /// The outcome of a record that the broker refuses for good. Sent for ever, it would hold up its
    /// lane.
    fn refused(&self, due: Due, began: (Timestamp, Instant), cause: &KafkaError) -> Report {
        let reason = format!("the broker refuses the record for good: {cause}");
        let (grant, user, topic) = (due.reward.grant, &due.user, self.publisher.topic());
        if due.pays {
            tracing::error!(%grant, %user, topic, "a reward can't be published, and has failed: {cause}; \
                 redeliver it once the topic takes it");
        } else {
            tracing::error!(%grant, %user, topic, "the copy of a reward that a webhook pays can't be \
                 published, and the topic will not get it: {cause}");
        }
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

/// The first record of a lane that the broker did not take.
struct Failure {
    due: Due,
    cause: KafkaError,
}

fn outgoing(due: &Due) -> Outgoing {
    let body = message::body(&due.user, &due.reward, Role::of(due));
    Outgoing { lane: due.lane, key: due.user.to_string(), body }
}

fn about_lane(lane: Lane) -> Subject {
    Subject::Channel(format!("{KAFKA}/{lane}"))
}

fn count_attempts(reports: &[Report], failed: usize) {
    let is_refused = |report: &&Report| report.noted.state == DeliveryState::Failed;
    let refused = reports.iter().filter(is_refused).count();
    let published = reports.len() - refused;
    metrics::counter!("plaudit_rewards_published_total").increment(published as u64);
    attempted("published", published);
    attempted("refused", refused);
    attempted("failed", failed);
}

fn attempted(result: &'static str, count: usize) {
    if count > 0 {
        metrics::counter!("plaudit_delivery_attempts_total", "channel" => KAFKA, "result" => result)
            .increment(count as u64);
    }
}
