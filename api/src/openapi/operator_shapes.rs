//! The shapes of bodies for operators; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::Instant;

shapes! {
    /// Backfills.
    Backfills {
        /// The newest first, without their partitions.
        backfills: Vec<Backfill>,
    }
    /// The progress of a new task in counting past actions.
    Backfill {
        /// The task.
        task: String,
        /// `running`, `paused`, `done` or `cancelled`.
        state: String,
        /// The earliest time of an action that counts.
        from: Instant,
        /// The treatment of rewards that past actions earn: `grant`, `hold` or `none`.
        rewards: String,
        /// The time of the task's publication.
        created_at: Instant,
        /// The time at which it was done or cancelled.
        finished_at: Option<Instant>,
        /// The number of records to read in all; null until they are counted, shortly after the
        /// publication.
        records: Option<i64>,
        /// The number of records read so far.
        records_read: i64,
        /// The number of past actions that moved the task.
        moved: i64,
        /// The number of past actions that did not move the task.
        unmoved: i64,
        /// The number of past actions that could not be decided; the log names their records.
        failed: i64,
        /// The number of past actions that were taken back and do not count.
        reversed: i64,
        /// The problem that stops its progress; null if there is none.
        problem: Option<String>,
        /// The time of its last progress.
        progressed_at: Instant,
        /// The time at which an operator released the rewards that it holds back.
        release_requested_at: Option<Instant>,
        /// The time at which all held rewards had been granted.
        released_at: Option<Instant>,
        /// The number of users whose held rewards were granted.
        released_users: i64,
        /// The records to read, by partition.
        partitions: Vec<BackfillPartition>,
    }
    /// The records of a source partition that a backfill reads.
    BackfillPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset to read.
        start_offset: i64,
        /// The next offset to read.
        next_offset: i64,
        /// The first offset that is not read: the task itself counted from there on.
        end_offset: i64,
        /// The timestamp of the oldest record that Kafka still has. Set if Kafka has removed
        /// records that might have counted.
        kept_from: Option<Instant>,
        /// The number of records that Kafka removed before they were read.
        lost: i64,
    }
    /// Read models.
    Projections {
        /// The read models, always in the same order.
        projections: Vec<Projection>,
        /// The `after` of the next page; null on the last one.
        next: Option<String>,
    }
    /// A read model.
    Projection {
        /// Its name.
        name: String,
        /// True if the version before the last rebuild is still kept.
        old_kept: bool,
        /// The running rebuild, or the last one; null if there was none.
        rebuild: Option<Rebuild>,
    }
    /// The progress of a rebuild.
    Rebuild {
        /// The name of the projection.
        projection: String,
        /// `running`, `paused`, `cancelled`, `swapped` or `failed`.
        state: String,
        /// The present step.
        phase: String,
        /// The number of users folded.
        users: u64,
        /// The number of events folded.
        events: u64,
        /// The number of events in the log when each lane was begun.
        events_total: u64,
        /// The rate since the last start or resumption; null before the first measurement.
        events_per_second: Option<f64>,
        /// The time left at that rate.
        remaining_seconds: Option<u64>,
        /// The time at which it was first started.
        started_at: Instant,
        /// The time at which the new tables replaced the old ones.
        finished_at: Option<Instant>,
        /// The number of rows that differed from the log; null before the comparison.
        differences: Option<u64>,
        /// The number of users who were skipped, because an event of theirs can't be read. Their
        /// rows stay as they are.
        skipped_users: u64,
        /// The reason of the failure.
        error: Option<String>,
    }
    /// Amnesties.
    Amnesties {
        /// The oldest declaration first.
        amnesties: Vec<Amnesty>,
    }
    /// A span of time over which no streak breaks.
    Amnesty {
        /// Its id.
        id: Uuid,
        /// The first instant inside.
        from: Instant,
        /// The first instant after it.
        until: Instant,
        /// The tasks it applies to; null for all continuous tasks.
        tasks: Option<Vec<String>>,
        /// The time of the declaration.
        at: Instant,
        /// The operator who declared it.
        by: String,
        /// The reason.
        reason: String,
    }
    /// The request to declare an amnesty.
    AmnestyDeclaration {
        /// The first instant inside.
        from: Instant,
        /// The first instant after it.
        until: Instant,
        /// Continuous tasks; absent for all of them.
        #[schema(required = false)]
        tasks: Option<Vec<String>>,
        /// The reason: up to 1,000 characters.
        reason: String,
    }
    /// Parked records.
    ParkedList {
        /// Oldest first.
        parked: Vec<Parked>,
        /// The `after` of the next page; null on the last one.
        next: Option<Uuid>,
    }
    /// The optional reason of an operator.
    Reason {
        /// The reason: 1 to 1,000 characters.
        #[schema(required = false)]
        reason: Option<String>,
    }
    /// The request to discard a parked record.
    DiscardRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
    }
    /// The result of releasing or discarding a parked record.
    Resolved {
        /// The record.
        id: Uuid,
        /// `released` or `discarded`.
        resolution: String,
        /// The number of actions that were applied, including those of records that waited behind
        /// it.
        applied: u64,
        /// The number of actions that had been applied before.
        duplicates: u64,
        /// The number of waiting records that were released with it.
        followed: u64,
        /// A position at or after the effect; null if it lies in several lanes.
        position: Option<String>,
        /// The record at which releasing stopped: it and those behind it are still parked.
        stopped: Option<Stopped>,
    }
    /// The record at which the release stopped.
    Stopped {
        /// Its id.
        id: Uuid,
        /// The reason why it can't be applied.
        reason: String,
    }
    /// A parked record or action.
    Parked {
        /// Its id.
        id: Uuid,
        /// The reason why it is parked.
        reason: String,
        /// True if the cause can be repaired. The user's later actions wait behind such a record.
        repairable: bool,
        /// The user, if known.
        user: Option<String>,
        /// The topic of the record; null for requests.
        topic: Option<String>,
        /// The partition of the record; null for requests.
        partition: Option<i32>,
        /// The offset of the record; null for requests.
        offset: Option<i64>,
        /// The headers of the record or request.
        #[schema(value_type = Object)]
        headers: Value,
        /// The body, in Base64.
        bytes: String,
        /// The time at which it was parked.
        at: Instant,
    }
}
