//! The origin of a grant: message, command, events, grant, deliveries.

use std::borrow::Cow;

use jiff::Timestamp;
use plaudit_domain::lane::Position;
use plaudit_event_store::Metadata;
use plaudit_event_store::deliveries::{self, Attempt, Listed};
use plaudit_event_store::reader::{self, Entry};
use serde::Serialize;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::AuditError;
use crate::history::{CausingAction, EventEntry, SourcePosition};

/// The origin of a grant and its progress since.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The message that led to the grant; absent if the granting event is gone.
    pub message: Option<Message>,
    /// The command that was decided because of the message; absent if the granting event is gone.
    pub command: Option<CommandEntry>,
    /// The events of the command, in order. One of them granted the reward.
    pub events: Vec<EventEntry>,
    /// The present reward line.
    pub grant: GrantEntry,
    /// The later events about the grant, in order: its claim and the outcomes of its deliveries.
    pub since: Vec<EventEntry>,
    /// Its deliveries with their last attempts, the payer's first. None before it is claimed.
    pub deliveries: Vec<DeliveryEntry>,
}

/// A delivery of the grant.
#[derive(Debug, Serialize)]
pub struct DeliveryEntry {
    /// Its channel.
    pub channel: String,
    /// True if the channel leads to the payer.
    pub pays: bool,
    /// `waiting`, `sent`, `delivered`, `failed`, `revoked` or `replaced`.
    pub state: String,
    /// The number of attempts.
    pub attempts: i32,
    /// The last attempts, oldest first.
    pub attempted: Vec<Attempt>,
    /// The reason of the failure, or of the last failed attempt.
    pub reason: Option<String>,
    /// The time at which it was seen to be due, for the first time or again.
    pub queued_at: Timestamp,
}

impl From<Listed> for DeliveryEntry {
    fn from(listed: Listed) -> Self {
        let Listed { channel, pays, state, attempts, attempted, reason, queued_at, .. } = listed;
        Self { channel, pays, state, attempts, attempted, reason, queued_at }
    }
}

/// The message that led to a grant.
#[derive(Debug, Serialize)]
pub struct Message {
    /// The Kafka record; absent for a message that came over HTTP.
    pub source_position: Option<SourcePosition>,
    /// The id of the HTTP request.
    pub request: Option<String>,
    /// The parked record that an operator released.
    pub parked: Option<String>,
    /// The metadata as stored with the events.
    pub metadata: Value,
}

/// The command that was decided for the user.
#[derive(Debug, Serialize)]
pub struct CommandEntry {
    /// `record_action`, or `request` for anything but an action.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The action.
    pub action: Option<CausingAction>,
}

/// A reward line in its present state.
#[derive(Debug, Serialize)]
pub struct GrantEntry {
    /// The id of the grant.
    pub grant: Uuid,
    /// The user.
    pub user: String,
    /// The task.
    pub task: String,
    /// The version of the task that promised it.
    pub task_version: u32,
    /// The key of the period.
    pub period: String,
    /// The milestone.
    pub milestone: i64,
    /// Names the line within the milestone.
    pub line: String,
    /// For the payer.
    pub kind: String,
    /// For the payer.
    pub code: String,
    /// The number of units.
    pub amount: i64,
    /// The present state, such as `delivered`.
    pub state: Value,
    /// The time at which it was earned.
    pub granted_at: Timestamp,
    /// The position of the granting event.
    pub position: String,
}

/// Limit on the events shown of one command, and on those about one grant.
const EVENTS_MAX: i64 = 1_000;

impl Explanation {
    /// Explains a grant; `None` if the id is unknown.
    pub async fn read(grant: Uuid, pool: &PgPool) -> Result<Option<Self>, AuditError> {
        let Some(found) = deliveries::find(pool, grant).await? else { return Ok(None) };
        let (lane, user, reward) = (found.lane, found.user, &found.row.reward);
        let mut connection = pool.acquire().await?;
        let number = found.row.place.position;
        let entry = GrantEntry {
            grant,
            user: user.to_string(),
            task: reward.task.to_string(),
            task_version: reward.version,
            period: reward.period.to_string(),
            milestone: reward.milestone,
            line: reward.line.clone(),
            kind: reward.kind.clone(),
            code: reward.code.clone(),
            amount: reward.amount,
            state: serde_json::to_value(found.row.state_as_of(Timestamp::now()))?,
            granted_at: reward.reached_at,
            position: Position { lane, number }.to_string(),
        };
        let deliveries = found.deliveries.into_iter().map(DeliveryEntry::from).collect();
        let granting = reader::at_positions(lane, &[number], &mut connection).await?;
        let Some(granting) = granting.into_iter().next() else {
            return Ok(Some(Self::of_nothing(entry, deliveries)));
        };
        let (sequence, metadata) = about(&granting);
        let first = (sequence - EVENTS_MAX / 2).max(1);
        let around = reader::user_page(lane, &user, first - 1, EVENTS_MAX, &mut connection).await?;
        let events = of_command(around, sequence, &metadata)?;
        let mentions =
            reader::mentions(lane, &user, sequence, grant, EVENTS_MAX, &mut connection).await?;
        let since = mentions.into_iter().map(EventEntry::new).collect::<Result<_, _>>()?;
        let read = Metadata::read(&metadata);
        let (source_position, action) = (SourcePosition::of(&read), CausingAction::of(&read));
        let message = Message {
            source_position,
            request: read.request_id.map(Cow::into_owned),
            parked: read.parked_id.map(Cow::into_owned),
            metadata,
        };
        let kind = if action.is_some() { "record_action" } else { "request" };
        let command = Some(CommandEntry { kind, action });
        let message = Some(message);
        Ok(Some(Self { message, command, events, grant: entry, since, deliveries }))
    }

    /// The explanation of a grant whose granting event is gone.
    fn of_nothing(grant: GrantEntry, deliveries: Vec<DeliveryEntry>) -> Self {
        let (events, since) = (vec![], vec![]);
        Self { message: None, command: None, events, grant, since, deliveries }
    }
}

fn about(entry: &Entry) -> (i64, Value) {
    match entry {
        Ok(recorded) => (recorded.sequence, recorded.metadata.clone()),
        Err(row) => (row.sequence, row.raw.metadata.clone()),
    }
}

/// Returns the events next to this one that have the same metadata: all events of a command share
/// theirs.
fn of_command(
    around: Vec<Entry>,
    sequence: i64,
    metadata: &Value,
) -> Result<Vec<EventEntry>, AuditError> {
    let is_same = |entry: &Entry| about(entry).1 == *metadata;
    let split = around.iter().position(|entry| about(entry).0 == sequence).unwrap_or(0);
    let before = around[..split].iter().rev().take_while(|entry| is_same(entry)).count();
    let from = split - before;
    let same = around.into_iter().skip(from).take_while(is_same);
    same.map(EventEntry::new).collect()
}
