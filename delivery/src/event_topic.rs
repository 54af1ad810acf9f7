//! Publishes every stored event as a record of a topic, if that is switched on.
//!
//! This is a follower of its own: it starts at the beginning of the log, shares the lanes among
//! processes, and moves a lane's checkpoint once the broker has its events. A user's events lie in
//! one partition, in order. After a failure some events are published again, under the same ids.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use plaudit_domain::cloud_event::CloudEvent;
use plaudit_domain::lane::{Lane, Position};
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::raw_log::{self, RawRow};
use plaudit_event_store::{CheckpointMove, ExecuteError, move_checkpoints};
use plaudit_followers::bounded::{begin, within};
use plaudit_followers::{FollowerHealth, Handler, HeadWatch, LaneOutcome, Runner, Span};
use rdkafka::error::KafkaError;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::StartError;
use crate::kafka::publisher::{Outgoing, Publisher, Sent, Topic};

/// The name of the follower's checkpoints and leases.
const FOLLOWER: &str = "event_topic";

/// Maximum number of events in a round over all lanes, and bounds of one lane's share. Far below
/// the 100,000 records that the Kafka client holds.
const ROUND: usize = 5_000;
const PER_LANE: std::ops::RangeInclusive<usize> = 50..=500;

/// Time limit for the reads of a round, and for its writes.
const DATABASE_MAX: Duration = Duration::from_secs(5);

/// The running publication of events.
#[derive(Debug)]
pub struct EventTopic {
    runner: Runner,
}

impl EventTopic {
    /// Starts to publish. It waits for a broker that is down and for a missing topic.
    ///
    /// Publishing stops in order when `stop` is cancelled; [`Self::join`] waits for that.
    pub fn start(
        topic: &Topic,
        pool: &PgPool,
        heads: Arc<HeadWatch>,
        stop: &CancellationToken,
    ) -> Result<Self, StartError> {
        let publisher = Publisher::new(topic)?;
        let health = Arc::new(FollowerHealth::new(FOLLOWER));
        let handler = {
            let pool = pool.clone();
            move || EventFollower {
                pool: pool.clone(),
                publisher: publisher.clone(),
                is_topic_found: false,
            }
        };
        let runner = Runner::start(FOLLOWER, handler, pool, heads, health, stop.clone());
        Ok(Self { runner })
    }

    /// The health of the follower.
    pub fn health(&self) -> &Arc<FollowerHealth> {
        self.runner.health()
    }

    /// Waits for the end, after `stop` of [`Self::start`] was cancelled.
    pub async fn join(self) {
        self.runner.join().await;
    }
}

struct EventFollower {
    pool: PgPool,
    publisher: Publisher,
    /// Checked before anything is sent: a client that sends to a missing topic waits for it until
    /// its messages have expired.
    is_topic_found: bool,
}

#[async_trait]
impl Handler for EventFollower {
    async fn handle(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String> {
        let published = self.round(spans).await;
        if published.is_err() {
            // Perhaps the topic was deleted.
            self.is_topic_found = false;
        }
        published
    }

    async fn close(&mut self) {
        self.publisher.close().await;
    }
}

impl EventFollower {
    async fn round(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String> {
        let read = within(DATABASE_MAX, self.read(spans)).await;
        let pages = read.map_err(|error| format!("stored events can't be read: {error}"))?;
        if pages.iter().any(|(_, rows)| !rows.is_empty()) {
            self.find_topic().await?;
        }
        let outgoing: Vec<Outgoing> = pages
            .iter()
            .flat_map(|(span, rows)| rows.iter().map(|r| outgoing(span.lane, r)))
            .collect();
        let sent = self.publisher.publish(&outgoing).await;
        let (outcomes, moves) = outcomes(&pages, sent);
        metrics::counter!("plaudit_events_published_total").increment(
            moves.iter().map(|step| u64::try_from(step.to - step.from).unwrap_or(0)).sum(),
        );
        let stored = within(DATABASE_MAX, self.store(&moves)).await;
        stored.map_err(|error| format!("how far events are published can't be stored: {error}"))?;
        // If everything failed, the cause is not in a single lane.
        match outcomes.iter().find(|outcome| matches!(outcome, LaneOutcome::Failed { .. })) {
            Some(LaneOutcome::Failed { reason, .. }) if moves.is_empty() => Err(reason.clone()),
            _ => Ok(outcomes),
        }
    }

    /// Reads a page of each lane, after its stored checkpoint.
    async fn read(&self, spans: &[Span]) -> Result<Vec<(Span, Vec<RawRow>)>, ExecuteError> {
        let per_lane = (ROUND / spans.len().max(1)).clamp(*PER_LANE.start(), *PER_LANE.end());
        let limit = i64::try_from(per_lane).unwrap_or(i64::MAX);
        let mut connection = Borrowed::from(&self.pool).await?;
        let mut tx = begin(&mut connection).await?;
        let mut pages = Vec::with_capacity(spans.len());
        let mut left = ROUND;
        for span in spans {
            if left == 0 {
                break;
            }
            let rows = raw_log::after(span.lane, span.stored, span.head, limit, &mut tx).await?;
            left = left.saturating_sub(rows.len());
            pages.push((*span, rows));
        }
        tx.rollback().await?;
        connection.give_back();
        Ok(pages)
    }

    async fn store(&self, moves: &[CheckpointMove]) -> Result<(), ExecuteError> {
        if moves.is_empty() {
            return Ok(());
        }
        let mut connection = Borrowed::from(&self.pool).await?;
        let mut tx = begin(&mut connection).await?;
        move_checkpoints(moves, &mut tx).await?;
        tx.commit().await?;
        connection.give_back();
        Ok(())
    }

    async fn find_topic(&mut self) -> Result<(), String> {
        if self.is_topic_found {
            return Ok(());
        }
        let topic = self.publisher.topic();
        match self.publisher.finds_topic().await {
            Ok(true) => {
                self.is_topic_found = true;
                Ok(())
            }
            Ok(false) => Err(format!(
                "the topic {topic} does not exist; create it, and stored events are published to it in order"
            )),
            Err(cause) => Err(unpublished(topic, &cause)),
        }
    }
}

fn unpublished(topic: &str, cause: &KafkaError) -> String {
    format!("stored events can't be published to the topic {topic}: {cause}")
}

/// The outcome of each lane, and its new checkpoint: the last event before the first that the
/// broker does not have.
fn outcomes(
    pages: &[(Span, Vec<RawRow>)],
    sent: Vec<Sent>,
) -> (Vec<LaneOutcome>, Vec<CheckpointMove>) {
    let mut sent = sent.into_iter();
    let mut moves = Vec::new();
    let mut outcomes = Vec::with_capacity(pages.len());
    for (span, rows) in pages {
        let lane = span.lane;
        let (mut up_to, mut failed) = (span.stored, None);
        for (row, sent) in rows.iter().zip(sent.by_ref()) {
            match sent {
                Sent::Stored(..) if failed.is_none() => up_to = row.position,
                Sent::Failed(cause) => failed = failed.or(Some(cause)),
                Sent::Stored(..) | Sent::Held => {}
            }
        }
        if up_to > span.stored {
            moves.push(span.checkpoint(FOLLOWER, up_to));
        }
        outcomes.push(match failed {
            Some(cause) => {
                let reason = format!(
                    "events of lane {lane} are not published, and are tried again: {cause}"
                );
                LaneOutcome::Failed { lane, reason }
            }
            None if rows.is_empty() => {
                LaneOutcome::Handled { lane, up_to: span.after, is_stored: false }
            }
            None => LaneOutcome::Handled { lane, up_to, is_stored: true },
        });
    }
    (outcomes, moves)
}

fn outgoing(lane: Lane, row: &RawRow) -> Outgoing {
    Outgoing { lane, key: row.user.clone(), body: body(lane, row) }
}

/// A `CloudEvent` in structured mode. Its id is the position, by which consumers recognise repeats.
fn body(lane: Lane, row: &RawRow) -> String {
    let at = Timestamp::from_microsecond(row.recorded_at_us).unwrap_or_default();
    let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    let id = Position { lane, number: row.position }.to_string();
    let kind = format!("plaudit.event.{}", row.event_type);
    let data = json!({
        "sequence": row.sequence,
        "version": row.event_version,
        "payload": json(&row.payload),
        "metadata": json(&row.metadata),
    });
    let (source, subject) = ("/plaudit/events", row.user.as_str());
    CloudEvent { id: &id, source, kind: &kind, subject, time: at, data }.to_json()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    fn span(lane: i16, stored: i64) -> Span {
        Span {
            lane: Lane(lane),
            epoch: 1,
            stored,
            after: stored,
            head: 10,
            is_first: false,
            is_store_due: false,
        }
    }

    fn row(position: i64) -> RawRow {
        RawRow {
            user: "ann".into(),
            sequence: position,
            position,
            event_type: "task_completed".into(),
            event_version: "1.0".into(),
            payload: r#"{"task":"t"}"#.into(),
            metadata: "{}".into(),
            recorded_at_us: 1,
        }
    }

    #[test]
    fn a_lane_is_published_up_to_the_first_event_that_failed() {
        let pages = [
            (span(1, 0), vec![row(1), row(2)]),
            (span(2, 4), vec![row(5), row(6), row(7)]),
            (span(3, 4), vec![]),
        ];
        let failed =
            || Sent::Failed(KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut));
        let stored = || Sent::Stored(0, 0);
        let sent = vec![stored(), stored(), stored(), failed(), Sent::Held];
        let (outcomes, moves) = outcomes(&pages, sent);
        let steps: BTreeMap<Lane, (i64, i64)> =
            moves.iter().map(|step| (step.lane, (step.from, step.to))).collect();
        assert_eq!(steps, BTreeMap::from([(Lane(1), (0, 2)), (Lane(2), (4, 5))]));
        assert!(matches!(outcomes[0], LaneOutcome::Handled { up_to: 2, is_stored: true, .. }));
        assert!(matches!(outcomes[1], LaneOutcome::Failed { .. }));
        assert!(matches!(outcomes[2], LaneOutcome::Handled { up_to: 4, is_stored: false, .. }));
    }

    #[test]
    fn an_event_is_known_by_its_position() {
        let event: Value = serde_json::from_str(&body(Lane(17), &row(5210))).unwrap();
        assert_eq!(event["id"], "17:5210");
        assert_eq!(event["type"], "plaudit.event.task_completed");
        assert_eq!(event["data"]["payload"]["task"], "t");
    }
}
