//! Reads the log, by user and by lane.

mod backfilled;
mod facts;
mod mentions;
mod news;
mod pages;
mod times;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Event, UserTasks, evolve};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::aggregate::AGGREGATE_TYPE;
use crate::error::ExecuteError;
use crate::{instant, upcasters};

pub use backfilled::of_backfills;
pub use facts::{Fact, FactsPage, Kinds, UserFacts, users_after, users_page, users_whole};
pub use mentions::mentions;
pub use news::{sequence_at, users_between};
pub use pages::{LanePage, lane_pages};
pub use times::{LaneSpan, spans_of_time};

/// An event with its envelope.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The user.
    pub user: UserId,
    /// The sequence in the user's stream, from 1.
    pub sequence: i64,
    /// The position in the log.
    pub position: Position,
    /// The time at which PostgreSQL stored it.
    pub recorded_at: Timestamp,
    /// The metadata: a flat object of strings.
    pub metadata: Value,
    /// The fact.
    pub event: Event,
}

/// A row of the log that this program can't read: it is damaged, or written by a newer program. It
/// concerns only its user, so readers of many users skip it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("event {sequence} of user {user}: {reason}")]
pub struct Unreadable {
    /// The user, who may have an id that is not allowed.
    pub user: String,
    /// The sequence in the user's stream.
    pub sequence: i64,
    /// The position in the log.
    pub position: Position,
    /// The reason why it can't be read.
    pub reason: String,
    /// The row as stored.
    pub raw: Box<RawEvent>,
}

impl From<Unreadable> for ExecuteError {
    fn from(event: Unreadable) -> Self {
        Self::Unreadable(event.to_string())
    }
}

/// A row of the log as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct RawEvent {
    /// The event type, which this program may not know.
    pub event_type: String,
    /// The version, which this program may not know.
    pub event_version: String,
    /// The event as JSON, or as a string if it is not valid JSON.
    pub payload: Value,
    /// The metadata as JSON, or as a string if it is not valid JSON.
    pub metadata: Value,
    /// The time at which PostgreSQL stored it.
    pub recorded_at: Timestamp,
}

/// An event, or the error of reading it.
pub type Entry = Result<Recorded, Unreadable>;

/// Selects the columns that [`entry`] reads.
const RECORDED: &str = "select aggregate_id, sequence, position, event_type, event_version, \
                        payload::text, metadata::text, recorded_at from events";

fn entry(row: &PgRow, lane: Lane) -> sqlx::Result<Entry> {
    let user: &str = row.try_get("aggregate_id")?;
    let sequence = row.try_get("sequence")?;
    let position = Position { lane, number: row.try_get("position")? };
    let (event_type, event_version): (&str, &str) =
        (row.try_get("event_type")?, row.try_get("event_version")?);
    let payload: &str = row.try_get("payload")?;
    let at: DateTime<Utc> = row.try_get("recorded_at")?;
    let (recorded_at, about): (_, &str) = (instant::from_sql(at), row.try_get("metadata")?);
    let known = UserId::try_from(user.to_owned()).map_err(|error| error.to_string());
    let event = upcasters::read(event_type, event_version, payload).map_err(|e| e.to_string());
    // The column may hold JSON that this program can't parse, such as the number 1e400.
    let metadata =
        serde_json::from_str(about).map_err(|error| format!("its metadata can't be read: {error}"));
    Ok(match (known, event, metadata) {
        (Ok(user), Ok(event), Ok(metadata)) => {
            Ok(Recorded { user, sequence, position, recorded_at, metadata, event })
        }
        (Err(reason), ..) | (_, Err(reason), _) | (.., Err(reason)) => Err(Unreadable {
            user: user.to_owned(),
            sequence,
            position,
            reason,
            raw: Box::new(RawEvent {
                event_type: event_type.to_owned(),
                event_version: event_version.to_owned(),
                payload: serde_json::from_str(payload).unwrap_or_else(|_| payload.into()),
                metadata: serde_json::from_str(about).unwrap_or_else(|_| about.into()),
                recorded_at,
            }),
        }),
    })
}

/// Reads a page of one user's stream, after a sequence.
pub async fn user_page(
    lane: Lane,
    user: &UserId,
    after: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Entry>> {
    user_page_between(lane, user, after, limit, (None, None), connection).await
}

/// Like [`user_page`], with the events only that were stored from the first time on and before the
/// second.
///
/// PostgreSQL checks the time of each event of the user and sends those that are asked for. A search
/// by halves would be wrong: a database's clock that is set back stores smaller times later.
pub async fn user_page_between(
    lane: Lane,
    user: &UserId,
    after: i64,
    limit: i64,
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence > $4
           and recorded_at >= coalesce($6, '-infinity') and recorded_at < coalesce($7, 'infinity')
         order by sequence limit $5"
    ))
    .bind(lane.0)
    .bind(AGGREGATE_TYPE)
    .bind(user.as_str())
    .bind(after)
    .bind(limit)
    .bind(from.map(instant::to_sql))
    .bind(until.map(instant::to_sql))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| entry(row, lane)).collect()
}

/// Reads the events of one lane that matter to delivery, after a position and up to a head: those
/// that may make rewards payable, and those that record what followed.
pub async fn delivery_page(
    lane: Lane,
    after: i64,
    up_to: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Entry>> {
    // The types are literals, because they are the condition of a partial index.
    let rows = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and position > $2 and position <= $3
           and event_type in ('milestone_reached', 'rewards_claimed', 'rewards_granted', 'redelivery_requested',
                              'reward_delivered', 'reward_failed', 'reward_granted', 'rewards_revoked',
                              'acknowledgement_ignored')
         order by position limit $4"
    ))
    .bind(lane.0)
    .bind(after)
    .bind(up_to)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| entry(row, lane)).collect()
}

/// Reads the events at these positions of a lane, in order. Missing positions are left out.
pub async fn at_positions(
    lane: Lane,
    positions: &[i64],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query(&format!(
        "{RECORDED} where lane = $1 and position = any($2) order by position"
    ))
    .bind(lane.0)
    .bind(positions)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| entry(row, lane)).collect()
}

/// The event at which folding stops.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// Stop after this sequence.
    Sequence(i64),
    /// Stop before the first event stored after this instant.
    Time(Timestamp),
}

/// The number of events of a user read per query.
const PAGE: i64 = 5_000;

/// Folds a user's stream from the log, completely or up to a point. Returns the state and the
/// sequence reached.
///
/// # Errors
///
/// [`ExecuteError::Unreadable`] if an event before that point can't be read.
pub async fn fold_user(
    lane: Lane,
    user: &UserId,
    until: Option<Until>,
    connection: &mut PgConnection,
) -> Result<(UserTasks, i64), ExecuteError> {
    let (mut state, mut sequence) = (UserTasks::default(), 0);
    loop {
        let page = user_page(lane, user, sequence, PAGE, connection).await?;
        if page.is_empty() {
            return Ok((state, sequence));
        }
        for entry in page {
            let (at_sequence, recorded_at) = match &entry {
                Ok(recorded) => (recorded.sequence, recorded.recorded_at),
                Err(unreadable) => (unreadable.sequence, unreadable.raw.recorded_at),
            };
            let is_beyond = match until {
                None => false,
                Some(Until::Sequence(last)) => at_sequence > last,
                Some(Until::Time(at)) => recorded_at > at,
            };
            if is_beyond {
                return Ok((state, sequence));
            }
            evolve(&mut state, &entry?.event);
            sequence = at_sequence;
        }
    }
}
