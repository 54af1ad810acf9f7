//! How the partitions stand: what the group and the survey say, and where reading goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_event_store::{ParkedRecord, SourcePosition};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::{DOUBT_EVERY, FOLLOW_EVERY, Polling, log_failure};
use crate::SourcePartition;
use crate::group::{GroupConsumer, Rebalanced, take_anew};
use crate::health::Subject;
use crate::partition_state::PartitionState;
use crate::survey::{Finding, Question};
use crate::tracker::End;

/// How long librdkafka may take to answer a seek; it does not ask the broker for that.
const SEEK_PATIENCE: Duration = Duration::from_secs(5);

impl Polling {
    pub(super) fn take_rebalanced(&mut self, consumer: &GroupConsumer) {
        let rebalanced = consumer.context().take_rebalanced();
        if rebalanced.is_empty() {
            return;
        }
        for change in rebalanced {
            match change {
                Rebalanced::Assigned(given) => {
                    tracing::info!(partitions = %listed(&given), "partitions were assigned");
                    for at in given {
                        self.partitions.assign(at);
                    }
                }
                Rebalanced::Revoked(taken) => {
                    tracing::info!(partitions = %listed(&taken), "partitions were revoked");
                    for at in taken {
                        self.forget(&at);
                        self.partitions.revoke(&at);
                        lag_gauge(&at).set(0.0); // its lag is another process's now
                    }
                }
            }
        }
        self.denied = false;
        self.poller.health.resolve(&Subject::Consumer);
        self.ask();
    }

    /// Offsets of this partition are not stored any more, unless it is read again.
    fn forget(&mut self, at: &SourcePartition) {
        self.tracker.forget(at);
        self.open.forget(at);
    }

    pub(super) fn forget_all(&mut self) {
        let all: Vec<SourcePartition> = self.partitions.iter().map(|(at, _)| at.clone()).collect();
        if !self.poller.stopped.is_cancelled() {
            for at in &all {
                self.forget(at);
            }
            self.partitions.clear();
            self.ask();
        }
    }

    /// Asks how the partitions stand.
    fn ask(&self) {
        let questions = self.partitions.iter().map(|(at, assigned)| Question {
            at: at.clone(),
            epoch: assigned.epoch,
            incarnation: assigned.incarnation,
            standing: assigned.standing,
            cursor: assigned.cursor,
        });
        self.poller.questions.send_replace(questions.collect());
        self.poller.health.set_partitions(self.partitions.health());
    }

    pub(super) fn finding(&mut self, finding: Finding, consumer: &GroupConsumer) {
        match finding {
            Finding::Watermarks(watermarks) => {
                for (at, marks) in watermarks {
                    self.doubtful |= self.partitions.note_watermarks(&at, marks);
                }
                self.publish_lag();
                if self.denied && self.partitions.are_read_to_their_ends() {
                    self.allowed();
                }
            }
            Finding::State { at, epoch, incarnation, state } => {
                let Some(assigned) = self.partitions.get(&at).filter(|a| a.epoch == epoch) else {
                    return;
                };
                let accepted_anew =
                    assigned.incarnation.is_some_and(|before| before != incarnation);
                if accepted_anew {
                    self.forget(&at);
                }
                let start = match state {
                    PartitionState::Fine { start } => start,
                    PartitionState::Gap { until, .. } => until,
                    PartitionState::Recreated { .. } => {
                        pause(consumer, &at);
                        self.partitions.refuse(&at, incarnation);
                        return self.ask();
                    }
                };
                match seek(consumer, &at, start) {
                    Ok(()) => {}
                    Err(code) => {
                        tracing::debug!(%code, "{at} can't be read from {start} yet");
                        let finding = Finding::State { at: at.clone(), epoch, incarnation, state };
                        self.pending.insert(at, finding);
                        return;
                    }
                }
                if let PartitionState::Gap { from, until } = state {
                    self.set_gap_aside(&at, incarnation, from, until);
                }
                if accepted_anew {
                    commit(consumer, &at, start);
                }
                tracing::debug!(incarnation, start, "{at} is read");
                self.partitions.run(&at, incarnation, start);
                if !self.pressure.is_paused() {
                    resume(consumer, &at);
                }
                self.ask();
            }
        }
    }

    /// Follows the consumer past offsets that carry no record to apply: markers of transactions, and
    /// records of aborted ones. Counting records would leave a lag that never reaches 0, and would
    /// take their removal for a loss.
    ///
    /// librdkafka forgets its position at a seek and at an assignment, and sets it with the first
    /// record or marker after that, so it never lies beyond a record that was not polled.
    pub(super) fn follow_position(&mut self, consumer: &GroupConsumer) {
        if self.followed_at.is_some_and(|at| at.elapsed() < FOLLOW_EVERY) {
            return;
        }
        self.followed_at = Some(Instant::now());
        let positions = match consumer.position() {
            Ok(positions) => positions,
            Err(error) => return tracing::debug!(%error, "the consumer's position is not known"),
        };
        for element in positions.elements() {
            let Offset::Offset(next_offset) = element.offset() else { continue };
            let topic = self.topic(element.topic());
            let at = SourcePartition { topic, partition: element.partition() };
            if let Some(incarnation) = self.partitions.move_to(&at, next_offset) {
                self.open.advance(at, End { incarnation, next_offset });
            }
        }
    }

    /// Names records that Kafka removed before they were read.
    fn set_gap_aside(&mut self, at: &SourcePartition, incarnation: i32, from: i64, until: i64) {
        let SourcePartition { topic, partition } = at;
        let last = until - 1;
        let reason = format!(
            "records lost: topic {topic}, partition {partition}, offsets {from} to {last} were removed \
             from Kafka before they were read"
        );
        tracing::error!("{reason}");
        metrics::counter!("plaudit_records_lost_total", "topic" => topic.to_string())
            .increment(u64::try_from(until - from).unwrap_or(0));
        let name = format!(
            "gap\u{1f}{topic}\u{1f}{incarnation}\u{1f}{partition}\u{1f}{from}\u{1f}{until}"
        );
        let parked = ParkedRecord {
            id: ParkedRecord::id_of(&name),
            reason,
            repairable: false,
            user: None,
            headers: serde_json::json!({ "first_lost": from.to_string(), "last_lost": last.to_string() }),
            bytes: Vec::new(),
        };
        let position = SourcePosition {
            topic: Arc::clone(topic),
            incarnation,
            partition: *partition,
            offset: last,
        };
        let item = self.poller.router.park(parked, &position);
        self.open.add_gap(at.clone(), End { incarnation, next_offset: until }, item);
    }

    pub(super) fn doubt_if_due(&mut self, consumer: &GroupConsumer) {
        if !self.doubtful || self.doubted_at.is_some_and(|at| at.elapsed() < DOUBT_EVERY) {
            return;
        }
        (self.doubtful, self.doubted_at) = (false, Some(Instant::now()));
        self.partitions.doubt_all();
        let mut all = TopicPartitionList::new();
        for (at, _) in self.partitions.iter() {
            all.add_partition(&at.topic, at.partition);
        }
        take_anew(consumer, all);
        self.ask();
    }

    fn publish_lag(&self) {
        for (at, partition) in self.partitions.health() {
            if let Some(lag) = partition.lag {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a gauge, and far below 2^52 records"
                )]
                lag_gauge(&at).set(lag as f64);
            }
        }
        self.poller.health.set_partitions(self.partitions.health());
    }
}

fn lag_gauge(at: &SourcePartition) -> metrics::Gauge {
    let labels = [("topic", at.topic.to_string()), ("partition", at.partition.to_string())];
    metrics::gauge!("plaudit_ingest_lag_records", &labels)
}

fn list_of(at: &SourcePartition) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&at.topic, at.partition);
    list
}

pub(super) fn list_at(at: &SourcePartition, offset: i64) -> KafkaResult<TopicPartitionList> {
    let mut list = list_of(at);
    list.set_all_offsets(Offset::Offset(offset))?;
    Ok(list)
}

/// Goes on at an offset. Fails for a moment after the partition was assigned.
fn seek(consumer: &GroupConsumer, at: &SourcePartition, offset: i64) -> KafkaResult<()> {
    let sought = consumer.seek_partitions(list_at(at, offset)?, SEEK_PATIENCE)?;
    sought.elements().iter().try_for_each(TopicPartitionListElem::error)
}

/// Sets the group's offset even if it lies before the one it has.
fn commit(consumer: &GroupConsumer, at: &SourcePartition, offset: i64) {
    let committed = list_at(at, offset).and_then(|list| consumer.commit(&list, CommitMode::Async));
    log_failure("commit", &committed);
}

fn pause(consumer: &GroupConsumer, at: &SourcePartition) {
    log_failure("pause", &consumer.pause(&list_of(at)));
}

fn resume(consumer: &GroupConsumer, at: &SourcePartition) {
    log_failure("resume", &consumer.resume(&list_of(at)));
}

fn listed(partitions: &[SourcePartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
