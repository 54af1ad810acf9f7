//! The shapes of bodies for auditors and operators; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::shapes::{Instant, RewardState, TaskScreen};

shapes! {
    /// A user's events.
    History {
        /// The user.
        user: String,
        /// In order.
        events: Vec<HistoryEvent>,
        /// For the next page.
        next: Option<i64>,
    }
    /// A fact, with what surrounds it.
    HistoryEvent {
        /// Its place in the user's history, from 1.
        sequence: i64,
        /// Its place in the log.
        position: String,
        /// What happened.
        r#type: String,
        /// The version of its schema.
        version: String,
        /// When it was stored.
        recorded_at: Instant,
        /// When the action occurred.
        occurred_at: Option<Instant>,
        /// What it came from.
        cause: Cause,
        /// Which Kafka record it came from.
        source_position: Option<SourcePosition>,
        /// As stored.
        #[schema(value_type = Object)]
        metadata: Value,
        /// The task it speaks of.
        task: Option<String>,
        /// The version of the task that judged it.
        task_version: Option<u32>,
        /// The fact itself.
        #[schema(value_type = Object)]
        payload: Value,
        /// Why the event can't be read; then the rest is shown as it is stored.
        #[schema(required = false)]
        unreadable: Option<String>,
    }
    /// An action, a request or a follower of the log.
    Cause {
        /// The action.
        #[schema(required = false, nullable = false)]
        action: Option<CausingAction>,
        /// The id of the request.
        #[schema(required = false, nullable = false)]
        request: Option<String>,
        /// The follower.
        #[schema(required = false, nullable = false)]
        follower: Option<String>,
    }
    /// The identity of an action.
    CausingAction {
        /// Its `source`.
        source: String,
        /// Its `id`.
        id: String,
        /// Its `type`.
        r#type: Option<String>,
    }
    /// The place of a Kafka record.
    SourcePosition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Option<i64>,
        /// The offset.
        offset: Option<i64>,
        /// How often the topic was accepted anew.
        #[schema(required = false, nullable = false)]
        incarnation: Option<i64>,
    }
    /// The task screen as it was.
    StateThen {
        /// The user.
        user: String,
        /// As of when.
        at: Instant,
        /// The last event by then; 0: none.
        sequence: i64,
        /// Where this was true: the head of the lane, or, of the past, the place of that event.
        position: String,
        /// By `order`, then by `id`.
        tasks: Vec<TaskScreen>,
    }
    /// The catalogue.
    Tasks {
        /// By id.
        tasks: Vec<TaskEntry>,
        /// For the next page.
        next: Option<String>,
    }
    /// A task in the catalogue.
    TaskEntry {
        /// Its id.
        id: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// The version in force.
        version: u32,
        /// `ordinary`, `periodic` or `continuous`.
        kind: String,
        /// For grouping.
        category: Option<String>,
        /// For sorting.
        order: i64,
        /// In its default language.
        title: String,
        /// When this version was published.
        published_at: Instant,
    }
    /// A task in the catalogue, with its definition.
    OneTask {
        /// In short.
        #[serde(flatten)]
        entry: TaskEntry,
        /// As published.
        #[schema(value_type = Object)]
        definition: Value,
    }
    /// The versions of a task.
    Versions {
        /// The task.
        task: String,
        /// `active`, `paused` or `retired`.
        status: String,
        /// Oldest first.
        versions: Vec<Version>,
        /// For the next page.
        next: Option<u32>,
    }
    /// One version of a task.
    Version {
        /// From 1.
        version: u32,
        /// When it was published.
        published_at: Instant,
        /// As published.
        #[schema(value_type = Object)]
        definition: Value,
    }
    /// What a publication did.
    Published {
        /// Task by task, in the order of the file.
        published: Vec<PublishedTask>,
    }
    /// What a publication did to a task.
    PublishedTask {
        /// The task.
        task: String,
        /// The version in force.
        version: u32,
        /// Whether it is new.
        changed: bool,
    }
    /// Read models.
    Projections {
        /// All of them.
        projections: Vec<Projection>,
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
        /// Why it failed.
        error: Option<String>,
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
        /// How many.
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
        /// `waiting`, `sent`, `delivered` or `failed`.
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
        /// Why it failed.
        #[schema(required = false, nullable = false)]
        error: Option<String>,
        /// The first bytes of the answer, or where the broker stored it.
        #[schema(required = false, nullable = false)]
        answer: Option<String>,
    }
    /// Why something is changed by hand.
    Reason {
        /// 1 to 1,000 characters.
        #[schema(min_length = 1, max_length = 1000)]
        reason: String,
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
    /// Parked records.
    ParkedList {
        /// Oldest first.
        parked: Vec<Parked>,
        /// For the next page.
        next: Option<Uuid>,
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
