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
    /// A new task that counts past actions, and how far it is.
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
        /// The number of records to read in all; null until that is settled, a moment after the publication.
        records: Option<i64>,
        /// The number of records read so far.
        records_read: i64,
        /// The number of past actions that moved the task.
        moved: i64,
        /// The number of past actions that did not.
        unmoved: i64,
        /// The number of past actions that could not be decided; the log names their records.
        failed: i64,
        /// The problem that keeps it from getting on.
        problem: Option<String>,
        /// The last time at which it got on.
        progressed_at: Instant,
        /// The time at which an operator released the rewards that it holds back.
        release_requested_at: Option<Instant>,
        /// The time at which all of these were granted.
        released_at: Option<Instant>,
        /// To how many users.
        released_users: i64,
        /// The records that it reads, by partition.
        partitions: Vec<BackfillPartition>,
    }
    /// The records that a backfill reads of a source partition.
    BackfillPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset that is read.
        start_offset: i64,
        /// The next one.
        next_offset: i64,
        /// The first one that is not read: it was judged with the task.
        end_offset: i64,
        /// Set if Kafka has removed records that may have counted: the timestamp of the oldest that it still has.
        kept_from: Option<Instant>,
        /// The number of records that Kafka removed before they were read.
        lost: i64,
    }
    /// Read models.
    Projections {
        /// All of them.
        projections: Vec<Projection>,
        /// For the next page.
        next: Option<String>,
    }
    /// A read model.
    Projection {
        /// Its name.
        name: String,
        /// The version before the last rebuild is still kept.
        old_kept: bool,
        /// The rebuild that is under way, or the last one.
        rebuild: Option<Rebuild>,
    }
    /// How far a rebuild is.
    Rebuild {
        /// Of which projection.
        projection: String,
        /// `running`, `paused`, `cancelled`, `swapped` or `failed`.
        state: String,
        /// What it is at.
        phase: String,
        /// Users folded.
        users: u64,
        /// Events folded.
        events: u64,
        /// Of about how many.
        events_total: u64,
        /// How fast.
        events_per_second: Option<f64>,
        /// How long it will still take at that rate.
        remaining_seconds: Option<u64>,
        /// When it was started.
        started_at: Instant,
        /// When it was swapped.
        finished_at: Option<Instant>,
        /// How many rows were other than the log has it.
        differences: Option<u64>,
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
        /// The first instant no longer inside.
        until: Instant,
        /// The tasks that it is for; null: all continuous tasks.
        tasks: Option<Vec<String>>,
        /// The time of the declaration.
        at: Instant,
        /// The person who declared it.
        by: String,
        /// The reason.
        reason: String,
    }
    /// An amnesty to declare.
    AmnestyDeclaration {
        /// The first instant inside.
        from: Instant,
        /// The first instant no longer inside.
        until: Instant,
        /// Continuous tasks; absent: all of them.
        #[schema(required = false)]
        tasks: Option<Vec<String>>,
        /// The reason: up to 1,000 characters.
        reason: String,
    }
    /// Grants with their deliveries.
    Grants {
        /// Lane by lane.
        grants: Vec<Grant>,
        /// For the next page.
        next: Option<Uuid>,
    }
    /// A granted reward, and how its delivery goes.
    Grant {
        /// The id of the grant.
        grant: Uuid,
        /// Whose it is.
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
        /// Where it stands.
        #[schema(schema_with = RewardState::schema)]
        state: RewardState,
        /// When the milestone was reached.
        granted_at: Instant,
        /// Why it is not delivered, or why the last attempt failed.
        reason: Option<String>,
        /// The one that leads to the payer first; none before it is claimed.
        deliveries: Vec<Delivery>,
    }
    /// A grant's way by one channel.
    Delivery {
        /// The channel.
        channel: String,
        /// Whether it leads to the payer; the others get a copy.
        pays: bool,
        /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
        state: String,
        /// How often it was tried.
        attempts: i32,
        /// The last attempts, oldest first.
        attempted: Vec<DeliveryAttempt>,
        /// Why it failed, or why the last attempt did.
        reason: Option<String>,
        /// When it was first due.
        queued_at: Instant,
        /// If it waits: until when.
        due_at: Option<Instant>,
        /// When it is given up.
        give_up_at: Option<Instant>,
    }
    /// One attempt of a delivery.
    DeliveryAttempt {
        /// When it began.
        at: Instant,
        /// How long it took, in milliseconds.
        duration_ms: u64,
        /// The HTTP status of the answer.
        #[schema(required = false, nullable = false)]
        status: Option<u16>,
        /// The reason of the failure.
        #[schema(required = false, nullable = false)]
        error: Option<String>,
        /// The first bytes of the answer, or where the broker stored it.
        #[schema(required = false, nullable = false)]
        answer: Option<String>,
    }
    /// The reason for which a reward is sent again.
    OneRedeliveryRequest {
        /// 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// Also if another payer would get it than the one that was asked already: both may pay it.
        #[schema(required = false, default = false)]
        to_new_payer: Option<bool>,
    }
    /// A reward that is sent again.
    Redelivery {
        /// The grant.
        grant: Uuid,
        /// Whose it is.
        user: String,
        /// Where the request stands in the log.
        position: String,
    }
    /// The rewards to send again, and the reason.
    RedeliveryRequest {
        /// 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// `failed`, which is the default, `claimed` or `delivering`.
        #[schema(required = false, nullable = false)]
        state: Option<String>,
        /// Only of this kind.
        #[schema(required = false, nullable = false)]
        kind: Option<String>,
        /// Only of this code.
        #[schema(required = false, nullable = false)]
        code: Option<String>,
        /// Only those whose delivery to the payer goes by this channel.
        #[schema(required = false, nullable = false)]
        channel: Option<String>,
        /// Only those that were first seen to be due at this instant or later.
        #[schema(required = false, nullable = false)]
        since: Option<Instant>,
        /// Also those that another payer would get than the one that was asked already: both may pay them.
        #[schema(required = false, default = false)]
        to_new_payer: Option<bool>,
        /// `next` of the answer before.
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
        /// Those that can't be: something happened to them meanwhile, or another payer would get them.
        refused: Vec<RefusedRedelivery>,
        /// For the next request; null if there are no more.
        next: Option<Uuid>,
    }
    /// A grant that is not sent again.
    RefusedRedelivery {
        /// The grant.
        grant: Uuid,
        /// The reason.
        detail: String,
    }
    /// A reward that is to be revoked.
    RevocationRequest {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// Also the other lines of its milestone, if nobody claimed them: they can only be claimed together.
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
        /// Those of them that were handed to their payer before, which may have paid them.
        may_be_paid: Vec<Uuid>,
        /// What to do about these, if there are any.
        #[schema(required = false)]
        warning: Option<String>,
    }
    /// A reward that no task promised.
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
        /// Tells grants by hand of a user apart: the same line is granted once, for ever. Absent: the
        /// `Idempotency-Key`, or an id of the request.
        #[schema(required = false, min_length = 1, max_length = 64)]
        line: Option<String>,
    }
    /// A reward that was granted by hand.
    GrantedByHand {
        /// The user to whom it belongs.
        user: String,
        /// The id of the grant.
        grant: Uuid,
        /// `plaudit.by-hand`.
        task: String,
        /// `once`.
        period: String,
        /// 0.
        milestone: i64,
        /// Tells grants by hand of a user apart.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// `claimed`, as of the grant: it is delivered without a claim.
        state: String,
        /// The position of the grant in the log.
        position: String,
        /// The time at which it was made.
        granted_at: Instant,
    }
    /// A change of progress: `by` or `to`.
    Adjustment {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The period; absent: the one that contains the moment of the request.
        #[schema(required = false)]
        period: Option<String>,
        /// The amount to add; below zero to take back. Progress never falls below zero.
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
        /// The period; absent: the one that contains the moment of the request.
        #[schema(required = false)]
        period: Option<String>,
    }
    /// Progress that was corrected.
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
        /// The amount that it added; below zero if it took something back.
        credited: i64,
        /// The progress after it.
        progress: i64,
        /// The target of the period.
        target: i64,
        /// The milestones that it reached.
        milestones: Vec<i64>,
        /// The rewards that it earned.
        grants: Vec<Uuid>,
    }
    /// A missed period to fill.
    Restoration {
        /// The reason: 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
        /// The period.
        period: String,
    }
    /// A streak that was restored.
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
        /// The length of the streak after it.
        current: i64,
        /// The longest streak there was, after it.
        longest: i64,
        /// The milestones that it reached.
        milestones: Vec<i64>,
        /// The rewards that it earned.
        grants: Vec<Uuid>,
    }
    /// Parked records.
    ParkedList {
        /// Oldest first.
        parked: Vec<Parked>,
        /// For the next page.
        next: Option<Uuid>,
    }
    /// Why an operator does something.
    Reason {
        /// 1 to 1,000 characters.
        #[schema(required = false)]
        reason: Option<String>,
    }
    /// What became of a parked record, and of what waited behind it.
    Resolved {
        /// The record.
        id: Uuid,
        /// `released` or `discarded`.
        resolution: String,
        /// How many actions were applied, with those that waited behind it.
        applied: u64,
        /// How many had been applied before.
        duplicates: u64,
        /// How many records that waited behind it were released with it.
        followed: u64,
        /// A position at or after the effect; null if it lies in several lanes.
        position: Option<String>,
        /// The record at which releasing stopped: it and those behind it are still parked.
        stopped: Option<Stopped>,
    }
    /// A record that is still parked.
    Stopped {
        /// Its id.
        id: Uuid,
        /// Why.
        reason: String,
    }
    /// A parked record or action.
    Parked {
        /// Its id.
        id: Uuid,
        /// Why.
        reason: String,
        /// Whether someone can mend the cause.
        repairable: bool,
        /// The user, where one is known.
        user: Option<String>,
        /// Where it came from; absent for requests.
        topic: Option<String>,
        /// See `topic`.
        partition: Option<i32>,
        /// See `topic`.
        offset: Option<i64>,
        /// Headers of the record, or of the request.
        #[schema(value_type = Object)]
        headers: Value,
        /// Base64.
        bytes: String,
        /// The time when it was parked.
        at: Instant,
    }
}
