//! The plan of a backfill: from the first record that may hold an action of the backfill's time, up
//! to the end of the past.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use plaudit_event_store::backfills::bounds::PartitionKey;
use plaudit_event_store::backfills::lease::Lease;
use plaudit_event_store::backfills::{BackfillPartition, bounds};
use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::sources;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::StopReason;
use crate::error::{IngestError, check};
use crate::offsets::partition_state::Watermarks;
use crate::options::IngestOptions;
use crate::source_partition::SourcePartition;
use crate::topic_monitor::broker::Broker;
use crate::topic_monitor::{missing, recreated, unreachable};

/// The records that a backfill would read from a partition if a task were published now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRecords {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The number of records: an upper bound, since offsets have gaps.
    pub records: i64,
    /// The timestamp of the oldest record that Kafka still has, if records are gone that may have
    /// counted, removed or with an earlier topic of this name; else absent.
    pub kept_from: Option<Timestamp>,
}

/// Estimates, by partition, the records of a backfill that begins with actions at `from`.
///
/// # Errors
///
/// Fails if the options are invalid, or the database or no broker answers. The message says what to
/// do.
pub async fn past_records(
    options: &IngestOptions,
    from: Timestamp,
    pool: &PgPool,
) -> Result<Vec<PastRecords>, String> {
    check(options).map_err(|error| error.to_string())?;
    let mut renewed = HashSet::new();
    for topic in &options.topics {
        let incarnation = sources::incarnation(pool, topic).await;
        if incarnation.map_err(|error| format!("the database does not answer: {error}"))? > 0 {
            renewed.insert(topic.clone());
        }
    }
    let options = options.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let broker = Broker::new(&options).map_err(|e| IngestError::from(e).to_string())?;
        let mut found = Vec::new();
        for topic in &options.topics {
            let topic: Arc<str> = topic.as_str().into();
            let partitions = broker
                .partitions(&topic)
                .map_err(|e| unreachable(&options, &e, &broker))?
                .ok_or_else(|| missing(&topic))?;
            let at = partitions.iter().map(|of| of.id);
            let at: Vec<_> =
                at.map(|partition| SourcePartition { topic: topic.clone(), partition }).collect();
            for (at, kept) in kept(&at, from, &renewed, (&options, &broker))? {
                let records = kept.marks.high - kept.start.min(kept.marks.high);
                found.push(PastRecords {
                    topic: at.topic.to_string(),
                    partition: at.partition,
                    records,
                    kept_from: kept.oldest,
                });
            }
        }
        found.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        Ok(found)
    });
    asked.await.unwrap_or_else(|_| Err("asking the broker failed".to_owned()))
}

/// The records that the broker still has of a partition since a given time.
struct Kept {
    marks: Watermarks,
    /// The first offset at or after that time.
    start: i64,
    /// See [`PastRecords::kept_from`].
    oldest: Option<Timestamp>,
}

impl Kept {
    /// True if there is a record from before that time, so that nothing since then is gone.
    fn reaches_back(&self) -> bool {
        self.start > self.marks.low
    }
}

/// Asks the broker for the records since `from`. The records of the topics that were `renewed` are
/// gone with the earlier topic of their name. Blocks.
fn kept(
    partitions: &[SourcePartition],
    from: Timestamp,
    renewed: &HashSet<String>,
    (options, broker): (&IngestOptions, &Broker),
) -> Result<HashMap<SourcePartition, Kept>, String> {
    let failed = |e| unreachable(options, &e, broker);
    // An action's time may lie this far after its record's timestamp.
    let ahead = SignedDuration::try_from(options.future_tolerance).unwrap_or(SignedDuration::MAX);
    let since = from.checked_sub(ahead).unwrap_or(Timestamp::UNIX_EPOCH);
    let offsets = broker.offsets_since(partitions, since).map_err(failed)?;
    let mut found = HashMap::new();
    for at in partitions {
        let marks = broker.watermarks(at).map_err(failed)?;
        let start = offsets.get(at).copied().unwrap_or(marks.high).max(marks.low);
        let has_lost = marks.low > 0 || renewed.contains(&*at.topic);
        // If there is an older record, nothing of the requested time is gone.
        let oldest = if !has_lost || start > marks.low {
            None
        } else if marks.low == marks.high {
            Some(Timestamp::now())
        } else {
            broker.timestamp_at(at, marks.low).map_err(failed)?.filter(|oldest| *oldest > since)
        };
        found.insert(at.clone(), Kept { marks, start, oldest });
    }
    Ok(found)
}

/// Plans the records that a backfill reads, by partition. The records of an earlier incarnation of
/// a topic count as lost, unless the present one reaches back beyond the backfill's time: then they
/// are older still. Those of a topic that is no longer read count as lost whatever their time,
/// since nothing is known of it.
pub(super) async fn of_backfill(
    lease: &Lease,
    options: &Arc<IngestOptions>,
    database: &Deadlined,
) -> Result<Vec<BackfillPartition>, StopReason> {
    let mut ends: HashMap<SourcePartition, (i32, i64)> = HashMap::new();
    let (mut unread, mut earlier, mut renewed) = (Vec::new(), Vec::new(), HashSet::new());
    let read = |pool| async move { bounds::ends(&pool, &lease.task).await };
    for ((topic, incarnation, partition), end) in database.call(read).await? {
        let name = topic.as_str();
        let now = |pool| async move { sources::incarnation(&pool, name).await };
        let is_read = options.topics.contains(&topic);
        if !is_read || database.call(now).await? != incarnation {
            let gone = if is_read { &mut earlier } else { &mut unread };
            gone.push(all_lost((topic, incarnation, partition), end));
            continue;
        }
        if incarnation > 0 {
            renewed.insert(topic.clone());
        }
        let at = SourcePartition { topic: topic.as_str().into(), partition };
        ends.insert(at, (incarnation, end));
    }
    let (options, from) = (Arc::clone(options), lease.from);
    let asked = tokio::task::spawn_blocking(move || {
        let broker = Broker::new(&options).map_err(|e| IngestError::from(e).to_string())?;
        let partitions: Vec<SourcePartition> = ends.keys().cloned().collect();
        let present = kept(&partitions, from, &renewed, (&options, &broker))?;
        let mut planned = unread;
        planned.extend(earlier.into_iter().filter(|gone| {
            !present.iter().any(|(at, kept)| *at.topic == *gone.topic && kept.reaches_back())
        }));
        for (at, kept) in present {
            let (incarnation, end_offset) = ends[&at];
            if kept.marks.high < end_offset {
                return Err(recreated(&at.topic));
            }
            let start_offset = kept.start.min(end_offset);
            planned.push(BackfillPartition {
                topic: at.topic.to_string(),
                incarnation,
                partition: at.partition,
                start_offset,
                next_offset: start_offset,
                end_offset,
                kept_from: kept.oldest,
                lost: 0,
            });
        }
        Ok(planned)
    });
    let asked = asked.await.unwrap_or_else(|_| Err("asking the broker failed".to_owned()));
    asked.map_err(StopReason::Stuck)
}

/// Plans a partition of which nothing can be read.
fn all_lost((topic, incarnation, partition): PartitionKey, end: i64) -> BackfillPartition {
    BackfillPartition {
        topic,
        incarnation,
        partition,
        start_offset: 0,
        next_offset: end,
        end_offset: end,
        kept_from: None,
        lost: end,
    }
}
