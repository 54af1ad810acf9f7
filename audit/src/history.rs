//! The history of a user: events and their causes.

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

/// Selects events of a user's history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryQuery {
    /// Only events after this sequence.
    pub after: i64,
    /// The largest number of events.
    pub limit: usize,
    /// Only events that were stored at this instant or later.
    pub from: Option<Timestamp>,
    /// Only events that were stored before this instant.
    pub until: Option<Timestamp>,
}

/// A page of a user's history.
#[derive(Debug, Serialize)]
pub struct History {
    /// The user.
    pub user: UserId,
    /// In the order of their sequences.
    pub events: Vec<EventEntry>,
    /// The sequence after which the next page begins; `None` on the last page.
    pub next: Option<i64>,
}

/// An event and its cause.
#[derive(Debug, Serialize)]
pub struct EventEntry {
    /// Its number in the user's history, from 1.
    pub sequence: i64,
    /// Its position in the log.
    pub position: String,
    /// The type of the event.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of its schema.
    pub version: String,
    /// The time at which it was stored.
    pub recorded_at: Timestamp,
    /// The time at which the action occurred: the field `at` of the payload.
    pub occurred_at: Option<Value>,
    /// The cause of the event.
    pub cause: Cause,
    /// The Kafka record behind the event; `None` if it did not come over Kafka.
    pub source_position: Option<SourcePosition>,
    /// The metadata as stored.
    pub metadata: Value,
    /// The task it is about.
    pub task: Option<Value>,
    /// The version of the task that decided it.
    pub task_version: Option<u32>,
    /// The body of the event.
    pub payload: Value,
    /// The reason why this program can't read the event. The other fields then show the row as it
    /// is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// The cause of an event, as far as its metadata names it. Rows that other programs appended may
/// name none.
#[derive(Debug, Default, Serialize)]
pub struct Cause {
    /// The action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<CausingAction>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The name of the operator's command.
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

/// The identity of an action.
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

/// The position of a Kafka record.
#[derive(Debug, Serialize)]
pub struct SourcePosition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: Option<i32>,
    /// The offset.
    pub offset: Option<i64>,
    /// The number of times the topic was accepted again after it had been recreated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<i32>,
}

/// Events read per query.
const PAGE: i64 = 1_000;

impl History {
    /// Reads a page. The database selects the events by their times, in the whole stream: clocks
    /// get adjusted, and the times of storing may step back from one event to the next.
    pub async fn read(
        lane: Lane,
        user: &UserId,
        query: &HistoryQuery,
        connection: &mut PgConnection,
    ) -> Result<Self, AuditError> {
        let mut events: Vec<EventEntry> = Vec::new();
        let mut after = query.after.max(0);
        // One event more than the limit shows that there is a next page.
        while events.len() <= query.limit {
            let missing = i64::try_from(query.limit + 1 - events.len()).unwrap_or(PAGE).min(PAGE);
            let times = (query.from, query.until);
            let page =
                reader::user_page_between(lane, user, after, missing, times, connection).await?;
            let is_last = page.len() < usize::try_from(missing).unwrap_or(usize::MAX);
            for entry in page {
                after = match &entry {
                    Ok(recorded) => recorded.sequence,
                    Err(unreadable) => unreadable.sequence,
                };
                events.push(EventEntry::new(entry)?);
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
    /// Describes an event as the history shows it; an unreadable one is shown as it is stored.
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
