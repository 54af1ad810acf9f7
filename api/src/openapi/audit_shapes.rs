//! The shapes of answers to auditors; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::{Instant, TaskScreen};

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
    /// The cause of an event, as far as its metadata names it.
    Cause {
        /// The action.
        #[schema(required = false, nullable = false)]
        action: Option<CausingAction>,
        /// The id of the request.
        #[schema(required = false, nullable = false)]
        request: Option<String>,
        /// The change by hand, such as `adjust`.
        #[schema(required = false, nullable = false)]
        command: Option<String>,
        /// The task whose backfill it was.
        #[schema(required = false, nullable = false)]
        backfill: Option<String>,
        /// The parked record that an operator released or discarded.
        #[schema(required = false, nullable = false)]
        parked: Option<String>,
        /// The sweeper's kind of work: `rewards`.
        #[schema(required = false, nullable = false)]
        sweeper: Option<String>,
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
    /// What became of the hash chain of a user.
    UserVerification {
        /// The user.
        user: String,
        /// Whether the events are as they were when the chain was stored.
        intact: bool,
        /// The number of values.
        events: i64,
        /// The last event that the stored chain covers; those after it are not proven yet.
        covered: i64,
        /// The digest of all events, in hexadecimal digits. Keep it, and compare it later.
        digest: String,
        /// What is wrong.
        faults: Vec<String>,
    }
    /// Where a grant came from, and what became of it.
    Explanation {
        /// What arrived.
        message: Option<CausingMessage>,
        /// What was decided because of it.
        command: Option<CausingCommand>,
        /// All events that followed, in order.
        events: Vec<HistoryEvent>,
        /// The reward line as it stands.
        grant: ExplainedGrant,
        /// The events that moved the grant since, in order.
        since: Vec<HistoryEvent>,
        /// Its deliveries, the one that leads to the payer first; none before it is claimed.
        deliveries: Vec<ExplainedDelivery>,
    }
    /// A delivery of a grant.
    ExplainedDelivery {
        /// Its channel.
        channel: String,
        /// Whether the channel leads to the payer.
        pays: bool,
        /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
        state: String,
        /// How often it was tried.
        attempts: i32,
        /// The last attempts, oldest first.
        #[schema(value_type = Vec<Object>)]
        attempted: Value,
        /// Why it failed, or why the last attempt did.
        reason: Option<String>,
        /// When it was first seen to be due.
        queued_at: Instant,
    }
    /// What arrived.
    CausingMessage {
        /// The Kafka record; null: it came over HTTP.
        source_position: Option<SourcePosition>,
        /// The id of the HTTP request.
        request: Option<String>,
        /// The parked record that an operator released.
        parked: Option<String>,
        /// As stored with the events.
        #[schema(value_type = Object)]
        metadata: Value,
    }
    /// What was decided.
    CausingCommand {
        /// `record_action` or `request`.
        r#type: String,
        /// The action.
        action: Option<CausingAction>,
    }
    /// A reward line.
    ExplainedGrant {
        /// The id of the grant.
        grant: Uuid,
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The version that promised it.
        task_version: u32,
        /// The key of the period.
        period: String,
        /// The milestone.
        milestone: i64,
        /// Names the line within the milestone.
        line: String,
        /// For the payer.
        kind: String,
        /// For the payer.
        code: String,
        /// The amount.
        amount: i64,
        /// What became of it.
        state: String,
        /// When it was earned.
        granted_at: Instant,
        /// Where the granting event is.
        position: String,
    }
    /// A page of operations.
    Operations {
        /// The latest first.
        operations: Vec<Operation>,
        /// For the next page.
        next: Option<Uuid>,
    }
    /// A change that an operator made to no single user: a rebuild, an accepted topic, deliveries again, or a parked record
    /// without a user.
    Operation {
        /// Its id.
        id: Uuid,
        /// The time of the operation.
        at: Instant,
        /// The `sub` of a token, or `os:` and the account at the command line.
        operator: String,
        /// Its kind, such as `projections.rebuild`.
        operation: String,
        /// The object of the operation.
        subject: String,
        /// The operator's reason, or `no reason given`.
        reason: String,
    }
}
