//! A user's events, with what caused them.

use std::borrow::Cow;

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::Metadata;
use plaudit_event_store::reader::{self, Entry, Recorded, Unreadable};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;

use crate::error::AuditError;

/// Which events are wanted.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery {
    /// Those after this sequence.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
    /// Those stored at this instant or later.
    pub from: Option<Timestamp>,
    /// Those stored before this instant.
    pub until: Option<Timestamp>,
}

impl HistoryQuery {
    fn wants(&self, recorded_at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= recorded_at)
            && self.until.is_none_or(|until| recorded_at < until)
    }
}

/// A page of a user's history.
#[derive(Debug, Serialize)]
pub struct History {
    /// The user.
    pub user: UserId,
    /// In order.
    pub events: Vec<EventEntry>,
    /// The sequence after which the next page begins; `None`: this is the last one.
    pub next: Option<i64>,
}

/// An event, with what caused it.
#[derive(Debug, Serialize)]
pub struct EventEntry {
    /// Its place in the user's history, from 1.
    pub sequence: i64,
    /// Its place in the log.
    pub position: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of its schema.
    pub version: String,
    /// When it was stored.
    pub recorded_at: Timestamp,
    /// When the action occurred.
    pub occurred_at: Option<Value>,
    /// What it came from.
    pub cause: Cause,
    /// The Kafka record it came from.
    pub source_position: Option<SourcePosition>,
    /// As stored.
    pub metadata: Value,
    /// The task it is about.
    pub task: Option<Value>,
    /// The version of the task that judged it.
    pub task_version: Option<u32>,
    /// The fact itself.
    pub payload: Value,
    /// Why this program can't read the event; then everything else is shown as it is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// The cause of an event, as far as its metadata names it. One that stock code appended may have none.
#[derive(Debug, Default, Serialize)]
pub struct Cause {
    /// The action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<CausingAction>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The name of the change by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The task that counted a past action, or released what past actions earned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<String>,
    /// The id of the parked record that an operator released or discarded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked: Option<String>,
    /// The sweeper's kind of work: `rewards`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sweeper: Option<String>,
    /// The name of the follower.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follower: Option<String>,
}

/// An action, by its identity.
#[derive(Debug, Serialize)]
pub struct CausingAction {
    /// Its source.
    pub source: String,
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

/// Where a Kafka record lies.
#[derive(Debug, Serialize)]
pub struct SourcePosition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// How often the topic was accepted anew after it had been created again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<i32>,
}

/// How many events are looked through at once.
const PAGE: i64 = 1_000;

impl History {
    /// Reads a page. Times of storing may step back a little from event to event, since clocks are
    /// set, so the whole stream is looked through.
    pub async fn read(
        lane: Lane,
        user: &UserId,
        query: &HistoryQuery,
        connection: &mut PgConnection,
    ) -> Result<Self, AuditError> {
        let mut events: Vec<EventEntry> = Vec::new();
        let mut after = query.after.max(0);
        // One more tells whether there is a next page.
        while events.len() <= query.limit {
            let page = reader::user_page(lane, user, after, PAGE, connection).await?;
            let mut is_last = true;
            for entry in page {
                let (sequence, recorded_at) = match &entry {
                    Ok(recorded) => (recorded.sequence, recorded.recorded_at),
                    Err(unreadable) => (unreadable.sequence, unreadable.raw.recorded_at),
                };
                (after, is_last) = (sequence, false);
                if query.wants(recorded_at) && events.len() <= query.limit {
                    events.push(EventEntry::new(entry)?);
                }
            }
            if is_last {
                break;
            }
        }
        let is_cut = events.len() > query.limit;
        events.truncate(query.limit);
        let next = events.last().filter(|_| is_cut).map(|last| last.sequence);
        Ok(Self { user: user.clone(), events, next })
    }
}

impl EventEntry {
    /// Describes an event as the history shows it; one that can't be read as it is stored.
    pub fn new(entry: Entry) -> Result<Self, AuditError> {
        match entry {
            Ok(recorded) => Self::of_event(recorded),
            Err(unreadable) => Ok(Self::of_row(unreadable)),
        }
    }

    fn of_event(recorded: Recorded) -> Result<Self, AuditError> {
        let (kind, version) = recorded.event.schema();
        let payload = serde_json::to_value(&recorded.event)?;
        let metadata = Metadata::read(&recorded.metadata);
        Ok(Self {
            sequence: recorded.sequence,
            position: recorded.position.to_string(),
            kind: kind.to_owned(),
            version: version.to_owned(),
            recorded_at: recorded.recorded_at,
            occurred_at: payload.get("at").cloned(),
            cause: Cause::of(&metadata),
            source_position: SourcePosition::of(&metadata),
            metadata: recorded.metadata,
            task: recorded.event.task().map(|task| task.as_str().into()),
            task_version: recorded.event.task_version(),
            payload,
            unreadable: None,
        })
    }

    fn of_row(row: Unreadable) -> Self {
        let raw = *row.raw;
        let metadata = Metadata::read(&raw.metadata);
        Self {
            sequence: row.sequence,
            position: row.position.to_string(),
            kind: raw.event_type,
            version: raw.event_version,
            recorded_at: raw.recorded_at,
            occurred_at: raw.payload.get("at").cloned(),
            cause: Cause::of(&metadata),
            source_position: SourcePosition::of(&metadata),
            metadata: raw.metadata,
            task: raw.payload.get("task").cloned(),
            task_version: None,
            payload: raw.payload,
            unreadable: Some(row.reason),
        }
    }
}

impl Cause {
    fn of(metadata: &Metadata<'_>) -> Self {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(ToOwned::to_owned);
        Self {
            action: CausingAction::of(metadata),
            request: owned(&metadata.request_id),
            command: owned(&metadata.command),
            backfill: owned(&metadata.backfill),
            parked: owned(&metadata.parked_id),
            sweeper: owned(&metadata.sweeper),
            follower: owned(&metadata.follower),
        }
    }
}

impl CausingAction {
    pub(crate) fn of(metadata: &Metadata<'_>) -> Option<Self> {
        let Metadata { action_source, action_id, action_type, .. } = metadata;
        Some(Self {
            source: action_source.as_deref()?.to_owned(),
            id: action_id.as_deref()?.to_owned(),
            kind: action_type.as_deref().map(ToOwned::to_owned),
        })
    }
}

impl SourcePosition {
    pub(crate) fn of(metadata: &Metadata<'_>) -> Option<Self> {
        Some(Self {
            topic: metadata.topic.as_deref()?.to_owned(),
            partition: metadata.partition,
            offset: metadata.offset,
            incarnation: metadata.incarnation,
        })
    }
}
