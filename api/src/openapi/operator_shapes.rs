//! The shapes of bodies for operators; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::shapes::{Instant, RewardState};

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
    /// Grants with their deliveries.
    Grants {
        /// Lane by lane.
        grants: Vec<Grant>,
        /// The `after` of the next page; null on the last one.
        next: Option<Uuid>,
    }
    /// A granted reward and the progress of its delivery.
    Grant {
        /// The id of the grant.
        grant: Uuid,
        /// The user to whom it belongs.
        user: String,
        /// The task.
        task: String,
        /// The period key.
        period: String,
        /// The milestone.
        milestone: i64,
        /// Names the line within its milestone.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// The present state.
        #[schema(schema_with = RewardState::schema)]
        state: RewardState,
        /// The time at which the milestone was reached.
        granted_at: Instant,
        /// The reason why it is not delivered, or of the last failed attempt.
        reason: Option<String>,
        /// Its deliveries, the payer's first. None before it is claimed.
        deliveries: Vec<Delivery>,
    }
    /// The delivery of a grant over one channel.
    Delivery {
        /// The channel.
        channel: String,
        /// True if the channel leads to the payer; other channels get a copy.
        pays: bool,
        /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
        state: String,
        /// The number of attempts.
        attempts: i32,
        /// The last attempts, oldest first.
        attempted: Vec<DeliveryAttempt>,
        /// The reason of the failure, or of the last failed attempt.
        reason: Option<String>,
        /// The time at which it was seen to be due, for the first time or again.
        queued_at: Instant,
        /// The time of the next attempt, if it is waiting.
        due_at: Option<Instant>,
        /// The time at which it is given up; null if none is set.
        give_up_at: Option<Instant>,
    }
    /// One attempt of a delivery.
    DeliveryAttempt {
        /// The time at which it began.
        at: Instant,
        /// The duration in milliseconds.
        duration_ms: u64,
        /// The HTTP status of the answer.
        #[schema(required = false, nullable = false)]
        status: Option<u16>,
        /// The reason of the failure.
        #[schema(required = false, nullable = false)]
        error: Option<String>,
        /// The first bytes of the answer, or the place at which the broker stored the message.
        #[schema(required = false, nullable = false)]
        answer: Option<String>,
    }
    /// The request to send one reward again.
    OneRedeliveryRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// Send it even if a payer other than the one it was sent to would get it now; both may pay
        /// it.
        #[schema(required = false, default = false)]
        to_new_payer: Option<bool>,
    }
    /// A reward that is sent again.
    Redelivery {
        /// The grant.
        grant: Uuid,
        /// The user to whom it belongs.
        user: String,
        /// The position of the request in the log.
        position: String,
    }
    /// The request to send many rewards again.
    RedeliveryRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// `failed` (the default), `claimed` or `delivering`.
        #[schema(required = false, nullable = false)]
        state: Option<String>,
        /// Only grants of this kind.
        #[schema(required = false, nullable = false)]
        kind: Option<String>,
        /// Only grants of this code.
        #[schema(required = false, nullable = false)]
        code: Option<String>,
        /// Only grants that go to the payer over this channel.
        #[schema(required = false, nullable = false)]
        channel: Option<String>,
        /// Only grants that were first seen to be due at this instant or later.
        #[schema(required = false, nullable = false)]
        since: Option<Instant>,
        /// Send grants even if a payer other than the one they were sent to would get them now;
        /// both may pay them.
        #[schema(required = false, default = false)]
        to_new_payer: Option<bool>,
        /// The `next` of the previous answer.
        #[schema(required = false, nullable = false)]
        after: Option<Uuid>,
        /// The maximum number of grants: 1 to 1,000, by default 500.
        #[schema(required = false, nullable = false, minimum = 1, maximum = 1000)]
        limit: Option<u16>,
    }
    /// The result of a redelivery in bulk.
    Redeliveries {
        /// The grants that will be sent again.
        redelivered: Vec<Uuid>,
        /// Grants that can't be sent again: their state changed meanwhile, or another payer would
        /// get them.
        refused: Vec<RefusedRedelivery>,
        /// The `after` of the next request; null if there are no more.
        next: Option<Uuid>,
    }
    /// A grant that was not sent again.
    RefusedRedelivery {
        /// The grant.
        grant: Uuid,
        /// The reason.
        detail: String,
    }
    /// The request to revoke a reward.
    RevocationRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// Revoke the other unclaimed lines of its milestone too: they can only be claimed
        /// together.
        #[schema(required = false, default = false)]
        whole_milestone: Option<bool>,
    }
    /// Rewards that were revoked.
    Revocation {
        /// The grant that was named.
        grant: Uuid,
        /// The user to whom it belongs.
        user: String,
        /// The position of the change in the log.
        position: String,
        /// The time at which the request arrived.
        revoked_at: Instant,
        /// All grants that were revoked.
        revoked: Vec<Uuid>,
        /// Revoked grants that had been handed to their payer, who may have paid them.
        may_be_paid: Vec<Uuid>,
        /// Advice for `may_be_paid`, if it is not empty.
        #[schema(required = false)]
        warning: Option<String>,
    }
    /// The request to grant a reward that no task promised.
    HandGrant {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// For the payer.
        #[schema(min_length = 1, max_length = 200)]
        kind: String,
        /// For the payer.
        #[schema(min_length = 1, max_length = 200)]
        code: String,
        /// The amount.
        #[schema(minimum = 1)]
        amount: i64,
        /// Distinguishes a user's grants by hand: the same line is granted only once, for ever.
        /// Absent: the `Idempotency-Key`, or else the id of the request.
        #[schema(required = false, min_length = 1, max_length = 64)]
        line: Option<String>,
    }
    /// A reward that was granted by hand.
    GrantedByHand {
        /// The user to whom it belongs.
        user: String,
        /// The id of the grant.
        grant: Uuid,
        /// Always `plaudit.by-hand`.
        task: String,
        /// Always `once`.
        period: String,
        /// Always 0.
        milestone: i64,
        /// Distinguishes a user's grants by hand.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// Always `claimed`: it is delivered without a claim.
        state: String,
        /// The position of the grant in the log.
        position: String,
        /// The time at which it was granted.
        granted_at: Instant,
    }
    /// A change of progress, by exactly one of `by` and `to`.
    Adjustment {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The period key. Absent: the period at the time of the request.
        #[schema(required = false)]
        period: Option<String>,
        /// The amount to add; negative to subtract. Progress never falls below zero.
        #[schema(required = false)]
        by: Option<i64>,
        /// The progress to set.
        #[schema(required = false, minimum = 0)]
        to: Option<i64>,
    }
    /// A correction of a period.
    PeriodCorrection {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The period key. Absent: the period at the time of the request.
        #[schema(required = false)]
        period: Option<String>,
    }
    /// A period after a correction of its progress.
    CorrectedProgress {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The period.
        period: String,
        /// The position of the correction in the log.
        position: String,
        /// The time at which the request arrived.
        corrected_at: Instant,
        /// The amount that was added; negative if it was subtracted.
        credited: i64,
        /// The progress afterwards.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The milestones that the correction reached.
        milestones: Vec<i64>,
        /// The grants that the correction earned.
        grants: Vec<Uuid>,
    }
    /// The request to fill a missed period of a streak.
    Restoration {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The key of the missed period.
        period: String,
    }
    /// A streak after a restoration.
    RestoredStreak {
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The period that was filled.
        period: String,
        /// The position of the correction in the log.
        position: String,
        /// The time at which the request arrived.
        corrected_at: Instant,
        /// The length of the streak afterwards.
        current: i64,
        /// The longest streak ever, afterwards.
        longest: i64,
        /// The milestones that the restoration reached.
        milestones: Vec<i64>,
        /// The grants that the restoration earned.
        grants: Vec<Uuid>,
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
