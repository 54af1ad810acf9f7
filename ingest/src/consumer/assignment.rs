//! The partitions that are read and the offset at which each begins, as the group and the topic
//! monitor decide.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_event_store::{ParkedRecord, SourcePosition};
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};

use super::membership::{GroupConsumer, Rebalanced, reassign};
use super::{FOLLOW_EVERY, Polling, VERIFY_EVERY, WITHHELD_FOR, log_failure};
use crate::health::{PartitionStanding, Subject};
use crate::offsets::assigned_partitions::Assigned;
use crate::offsets::partition_state::PartitionState;
use crate::offsets::query::{OffsetQuery, OffsetReport};
use crate::offsets::tracker::NextOffset;
use crate::route;
use crate::source_partition::SourcePartition;

/// Time limit for librdkafka to answer a seek. It does not ask the broker for that.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

impl Polling {
    pub(super) fn take_rebalanced(&mut self, client: &GroupConsumer) {
        let rebalanced = client.context().take_rebalanced();
        if rebalanced.is_empty() {
            return;
        }
        for change in rebalanced {
            match change {
                Rebalanced::Assigned(assigned) => {
                    tracing::info!(partitions = %listed(&assigned), "partitions were assigned");
                    for at in assigned {
                        self.crowding.forget(&at);
                        self.partitions.assign(at);
                    }
                }
                Rebalanced::Revoked(revoked) => {
                    tracing::info!(partitions = %listed(&revoked), "partitions were revoked");
                    for at in revoked {
                        self.forget(&at);
                        self.crowding.forget(&at);
                        self.partitions.revoke(&at);
                        self.withheld.remove(&at);
                        // The new owner reports its own problem, and so do the topic's other
                        // partitions.
                        self.context.health.resolve(&Subject::Schema(at.topic.to_string()));
                    }
                }
            }
        }
        self.authorization_failed = false;
        self.context.health.resolve(&Subject::Consumer);
        self.ask();
    }

    /// Makes sure that no offset of this partition is stored until it is read again.
    pub(super) fn forget(&mut self, at: &SourcePartition) {
        self.tracker.forget(at);
        self.batch.forget(at);
    }

    pub(super) fn forget_all(&mut self) {
        let all: Vec<SourcePartition> = self.partitions.iter().map(|(at, _)| at.clone()).collect();
        if !self.context.stopped.is_cancelled() {
            for at in &all {
                self.forget(at);
            }
            self.partitions.clear();
            self.withheld.clear();
            self.load_changed = true;
            self.ask();
        }
    }

    /// Asks the topic monitor about the partitions.
    fn ask(&self) {
        let queries = self.partitions.iter().map(|(at, assigned)| OffsetQuery {
            at: at.clone(),
            epoch: assigned.epoch,
            incarnation: assigned.incarnation,
            standing: assigned.standing,
            cursor: assigned.cursor,
        });
        self.context.queries.send_replace(queries.collect());
        self.context.health.set_partitions(self.partitions.health());
    }

    pub(super) fn report(&mut self, report: OffsetReport, client: &GroupConsumer) {
        match report {
            OffsetReport::Watermarks(watermarks) => {
                for (at, marks) in watermarks {
                    self.needs_verification |= self.partitions.note_watermarks(&at, marks);
                }
                self.publish_lag();
                if self.authorization_failed && self.partitions.are_read_to_their_ends() {
                    self.authorized();
                }
            }
            OffsetReport::State { at, epoch, incarnation, state } => {
                let is_asked = |a: &&Assigned| {
                    a.epoch == epoch && a.standing != PartitionStanding::WaitingForSchema
                };
                let Some(assigned) = self.partitions.get(&at).filter(is_asked) else {
                    return;
                };
                let accepted_again =
                    assigned.incarnation.is_some_and(|before| before != incarnation);
                if accepted_again {
                    self.forget(&at);
                }
                let start = match state {
                    PartitionState::Fine { start } => start,
                    PartitionState::Gap { until, .. } => until,
                    PartitionState::Recreated { .. } => {
                        pause(client, &at);
                        self.partitions.refuse(&at, incarnation);
                        return self.ask();
                    }
                };
                match seek(client, &at, start) {
                    Ok(()) => {}
                    Err(code) => {
                        tracing::debug!(%code, "{at} can't be read from {start} yet");
                        let report =
                            OffsetReport::State { at: at.clone(), epoch, incarnation, state };
                        self.pending.insert(at, report);
                        return;
                    }
                }
                if let PartitionState::Gap { from, until } = state {
                    self.park_loss(&at, incarnation, from, until);
                }
                if accepted_again {
                    commit(client, &at, start);
                }
                tracing::debug!(incarnation, start, "{at} is read");
                self.partitions.run(&at, incarnation, start);
                if !self.backpressure.is_paused() {
                    resume(client, &at);
                }
                // A partition that feeds a crowded lane is paused again at once.
                self.crowding.forget(&at);
                self.load_changed = true;
                self.ask();
            }
        }
    }

    /// Follows the consumer past offsets that carry no record to apply: transaction markers and
    /// aborted records. If only records moved the position, the lag would never reach 0, and the
    /// removal of such offsets would count as a loss.
    ///
    /// librdkafka forgets its position at a seek and at an assignment, and sets it with the next
    /// record or marker, so it never lies beyond a record that was not polled.
    pub(super) fn follow_position(&mut self, client: &GroupConsumer) {
        if self.followed_at.is_some_and(|at| at.elapsed() < FOLLOW_EVERY) {
            return;
        }
        self.followed_at = Some(Instant::now());
        let positions = match client.position() {
            Ok(positions) => positions,
            Err(error) => return tracing::debug!(%error, "the consumer's position is not known"),
        };
        for element in positions.elements() {
            let Offset::Offset(offset) = element.offset() else { continue };
            let topic = self.topic(element.topic());
            let at = SourcePartition { topic, partition: element.partition() };
            if let Some(incarnation) = self.partitions.move_to(&at, offset) {
                self.batch.advance(at, NextOffset { incarnation, offset });
            }
        }
    }

    /// Parks an entry that names records which Kafka removed before they were read.
    fn park_loss(&mut self, at: &SourcePartition, incarnation: i32, from: i64, until: i64) {
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
        let item = route::park(parked, &position, self.context.lane_count);
        self.batch.add_loss(&position, self.partitions.pass_of(at), item);
    }

    /// Stops a partition before a record whose schema is unavailable. [`Self::try_withheld`]
    /// returns to the record later.
    pub(super) fn withhold(
        &mut self,
        at: SourcePartition,
        pass: u64,
        why: &str,
        client: &GroupConsumer,
    ) {
        if !self.partitions.wait_for_schema(&at, pass) {
            return;
        }
        let problem = format!("records of {} wait: {why}", at.topic);
        self.context.health.report(Subject::Schema(at.topic.to_string()), problem);
        pause(client, &at);
        self.withheld.insert(at, Instant::now());
        self.ask();
    }

    /// Lets partitions be read again after they have waited for a schema. The mapper resolves the
    /// problem with the first record that it can map.
    pub(super) fn try_withheld(&mut self) {
        let is_due = |(_, since): &(&SourcePartition, &Instant)| since.elapsed() >= WITHHELD_FOR;
        let due: Vec<SourcePartition> =
            self.withheld.iter().filter(is_due).map(|(at, _)| at.clone()).collect();
        for at in &due {
            self.withheld.remove(at);
            self.partitions.try_again(at);
        }
        if !due.is_empty() {
            self.ask();
        }
    }

    pub(super) fn reverify_if_due(&mut self, client: &GroupConsumer) {
        if !self.needs_verification
            || self.verified_at.is_some_and(|at| at.elapsed() < VERIFY_EVERY)
        {
            return;
        }
        (self.needs_verification, self.verified_at) = (false, Some(Instant::now()));
        self.partitions.reverify_all();
        reassign(client, list_of(self.partitions.iter().map(|(at, _)| at)));
        self.ask();
    }

    fn publish_lag(&self) {
        self.context.health.set_partitions(self.partitions.health());
    }
}

pub(super) fn list_of<'a>(
    partitions: impl IntoIterator<Item = &'a SourcePartition>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for at in partitions {
        list.add_partition(&at.topic, at.partition);
    }
    list
}

pub(super) fn list_at(at: &SourcePartition, offset: i64) -> KafkaResult<TopicPartitionList> {
    let mut list = list_of([at]);
    list.set_all_offsets(Offset::Offset(offset))?;
    Ok(list)
}

/// Seeks to an offset. Fails for a moment after the partition was assigned.
fn seek(client: &GroupConsumer, at: &SourcePartition, offset: i64) -> KafkaResult<()> {
    let sought = client.seek_partitions(list_at(at, offset)?, SEEK_TIMEOUT)?;
    sought.elements().iter().try_for_each(TopicPartitionListElem::error)
}

/// Sets the group's offset even if it is lower than the present one.
fn commit(client: &GroupConsumer, at: &SourcePartition, offset: i64) {
    let committed = list_at(at, offset).and_then(|list| client.commit(&list, CommitMode::Async));
    log_failure("commit", &committed);
}

fn pause(client: &GroupConsumer, at: &SourcePartition) {
    log_failure("pause", &client.pause(&list_of([at])));
}

fn resume(client: &GroupConsumer, at: &SourcePartition) {
    log_failure("resume", &client.resume(&list_of([at])));
}

fn listed(partitions: &[SourcePartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
