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
        /// In the order of their sequences.
        events: Vec<HistoryEvent>,
        /// The `after` of the next page; null on the last one.
        next: Option<i64>,
    }
    /// An event and its cause.
    HistoryEvent {
        /// Its number in the user's history, from 1.
        sequence: i64,
        /// Its position in the log.
        position: String,
        /// The type of the event.
        r#type: String,
        /// The version of its schema.
        version: String,
        /// The time at which it was stored.
        recorded_at: Instant,
        /// The time at which the action occurred.
        occurred_at: Option<Instant>,
        /// The cause of the event.
        cause: Cause,
        /// The Kafka record behind the event; null if it did not come over Kafka.
        source_position: Option<SourcePosition>,
        /// The metadata as stored.
        #[schema(value_type = Object)]
        metadata: Value,
        /// The task it is about.
        task: Option<String>,
        /// The version of the task that decided it.
        task_version: Option<u32>,
        /// The body of the event.
        #[schema(value_type = Object)]
        payload: Value,
        /// The reason why the event can't be read. The other fields then show the row as it is
        /// stored.
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
        /// The name of the operator's command, such as `adjust`.
        #[schema(required = false, nullable = false)]
        command: Option<String>,
        /// The task that counted a past action, or released what past actions earned.
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
    /// The position of a Kafka record.
    SourcePosition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: Option<i64>,
        /// The offset.
        offset: Option<i64>,
        /// The number of times the topic was accepted again after it had been deleted and created
        /// again.
        #[schema(required = false, nullable = false)]
        incarnation: Option<i64>,
    }
    /// A user's task screen at a past moment.
    StateThen {
        /// The user.
        user: String,
        /// The time as of which the screen holds.
        at: Instant,
        /// The sequence of the last event by then; 0 before the first.
        sequence: i64,
        /// The position of that event; for the present state, the head of the lane.
        position: String,
        /// Ordered by `order`, then by `id`.
        tasks: Vec<TaskScreen>,
    }
    /// The result of verifying a user's hash chain.
    UserVerification {
        /// The user.
        user: String,
        /// True if the events are as they were when the chain was stored.
        intact: bool,
        /// The number of the user's events.
        events: i64,
        /// The last event that the stored chain covers; later events are not proven yet.
        covered: i64,
        /// The digest of all events, in hexadecimal digits. Keep it elsewhere to compare it later.
        digest: String,
        /// The differences that were found; empty if the events are intact.
        faults: Vec<String>,
    }
    /// The origin of a grant and its progress since.
    Explanation {
        /// The message that led to the grant; null if the granting event is gone.
        message: Option<CausingMessage>,
        /// The command that was decided because of the message; null if the granting event is gone.
        command: Option<CausingCommand>,
        /// The events of the command, in order.
        events: Vec<HistoryEvent>,
        /// The present reward line.
        grant: ExplainedGrant,
        /// The later events about the grant, in order.
        since: Vec<HistoryEvent>,
        /// Its deliveries, the payer's first. None before the grant is claimed.
        deliveries: Vec<ExplainedDelivery>,
    }
    /// A delivery of a grant.
    ExplainedDelivery {
        /// Its channel.
        channel: String,
        /// True if the channel leads to the payer.
        pays: bool,
        /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
        state: String,
        /// The number of attempts.
        attempts: i32,
        /// The last attempts, oldest first.
        #[schema(value_type = Vec<Object>)]
        attempted: Value,
        /// The reason of the failure, or of the last failed attempt.
        reason: Option<String>,
        /// The time at which it was seen to be due, for the first time or again.
        queued_at: Instant,
    }
    /// The message that led to a grant.
    CausingMessage {
        /// The Kafka record; null for a message that came over HTTP.
        source_position: Option<SourcePosition>,
        /// The id of the HTTP request.
        request: Option<String>,
        /// The parked record that an operator released.
        parked: Option<String>,
        /// The metadata as stored with the events.
        #[schema(value_type = Object)]
        metadata: Value,
    }
    /// The command that was decided for the user.
    CausingCommand {
        /// `record_action`, or `request` for anything but an action.
        r#type: String,
        /// The action.
        action: Option<CausingAction>,
    }
    /// A reward line in its present state.
    ExplainedGrant {
        /// The id of the grant.
        grant: Uuid,
        /// The user.
        user: String,
        /// The task.
        task: String,
        /// The version of the task that promised it.
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
        /// The present state, such as `delivered`.
        state: String,
        /// The time at which it was earned.
        granted_at: Instant,
        /// The position of the granting event.
        position: String,
    }
    /// A page of operations.
    Operations {
        /// The latest operation first.
        operations: Vec<Operation>,
        /// The `after` of the next page; null on the last one.
        next: Option<Uuid>,
    }
    /// A change by an operator that concerns no single user: for example a rebuild, an accepted
    /// topic, a redelivery, or a parked record without a user.
    Operation {
        /// Its id.
        id: Uuid,
        /// The time of the operation.
        at: Instant,
        /// The operator: the `sub` of a token, or `os:` and the account at the command line.
        operator: String,
        /// Its kind, such as `projections.rebuild`.
        operation: String,
        /// The object of the operation.
        subject: String,
        /// The operator's reason, or `no reason given`.
        reason: String,
    }
}
