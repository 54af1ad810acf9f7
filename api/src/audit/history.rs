//! A user's events with their causes.

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::reader::{self, Recorded};
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::PgConnection;

use crate::problem::{Answer, Problem};

/// A filter of events.
#[derive(Debug)]
pub struct Asked {
    /// Those after this sequence.
    pub after: i64,
    /// At most so many.
    pub limit: usize,
    /// Those stored at this instant or later.
    pub from: Option<Timestamp>,
    /// Those stored before this instant.
    pub until: Option<Timestamp>,
}

impl Asked {
    fn wants(&self, recorded: &Recorded) -> bool {
        self.from.is_none_or(|from| from <= recorded.recorded_at)
            && self.until.is_none_or(|until| recorded.recorded_at < until)
    }
}

/// A page of a user's history.
#[derive(Debug, Serialize)]
pub struct History {
    user: UserId,
    events: Vec<EventEntry>,
    next: Option<i64>,
}

/// An event with its cause.
#[derive(Debug, Serialize)]
pub struct EventEntry {
    sequence: i64,
    position: String,
    #[serde(rename = "type")]
    kind: &'static str,
    version: &'static str,
    recorded_at: Timestamp,
    occurred_at: Option<Value>,
    cause: Cause,
    source_position: Option<SourcePosition>,
    metadata: Value,
    task: Option<Value>,
    task_version: Option<u32>,
    payload: Value,
}

/// The cause of an event: an action, a request or a follower.
#[derive(Debug, Serialize)]
struct Cause {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<CausingAction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    follower: Option<String>,
}

#[derive(Debug, Serialize)]
struct CausingAction {
    source: String,
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Debug, Serialize)]
struct SourcePosition {
    topic: String,
    partition: Option<i64>,
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<i64>,
}

/// Events are read in pages of this size.
const PAGE: i64 = 1_000;

/// Reads a page. Times of storing may step back a little from event to event, since a transaction
/// has the time of its start, so the whole stream is looked through.
pub async fn read(
    lane: Lane,
    user: &UserId,
    asked: &Asked,
    connection: &mut PgConnection,
) -> Answer<History> {
    let mut found: Vec<Recorded> = Vec::new();
    let mut after = asked.after.max(0);
    // One more tells whether there is a next page.
    while found.len() <= asked.limit {
        let page = reader::user_page(lane, user, after, PAGE, connection).await?;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        found.extend(page.into_iter().filter(|recorded| asked.wants(recorded)));
    }
    let more = found.len() > asked.limit;
    found.truncate(asked.limit);
    let next = found.last().filter(|_| more).map(|last| last.sequence);
    let events = found.into_iter().map(entry).collect::<Result<_, _>>()?;
    Ok(History { user: user.clone(), events, next })
}

/// Describes an event as the history shows it.
pub fn entry(recorded: Recorded) -> Answer<EventEntry> {
    let (kind, version) = recorded.event.schema();
    let payload = serde_json::to_value(&recorded.event).map_err(|error| {
        tracing::error!(%error, "an event can't be written as JSON");
        Problem::Internal
    })?;
    let about = recorded.metadata.as_object().cloned().unwrap_or_default();
    let field = |name: &str| payload.get(name).cloned();
    Ok(EventEntry {
        sequence: recorded.sequence,
        position: recorded.position.to_string(),
        kind,
        version,
        recorded_at: recorded.recorded_at,
        occurred_at: field("at"),
        task: recorded.event.task().map(|task| task.as_str().into()),
        task_version: recorded.event.task_version(),
        cause: cause(&about),
        source_position: source_position(&about),
        metadata: recorded.metadata,
        payload,
    })
}

fn text(about: &Map<String, Value>, name: &str) -> Option<String> {
    about.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn number(about: &Map<String, Value>, name: &str) -> Option<i64> {
    about.get(name).and_then(Value::as_str).and_then(|digits| digits.parse().ok())
}

fn cause(about: &Map<String, Value>) -> Cause {
    let action = text(about, "action_source").zip(text(about, "action_id"));
    Cause {
        action: action.map(|(source, id)| CausingAction {
            source,
            id,
            kind: text(about, "action_type"),
        }),
        request: text(about, "request_id"),
        follower: text(about, "follower"),
    }
}

fn source_position(about: &Map<String, Value>) -> Option<SourcePosition> {
    let topic = text(about, "topic")?;
    let (partition, offset) = (number(about, "partition"), number(about, "offset"));
    Some(SourcePosition { topic, partition, offset, incarnation: number(about, "incarnation") })
}
