//! Reads the log, by user and by lane.

mod mentions;
mod news;
mod times;

use std::collections::BTreeSet;

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

pub use mentions::mentions;
pub use news::{sequence_at, users_between};
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
    let rows = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence > $4
         order by sequence limit $5"
    ))
    .bind(lane.0)
    .bind(AGGREGATE_TYPE)
    .bind(user.as_str())
    .bind(after)
    .bind(limit)
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

/// An event with what a fold needs besides: its sequence and position.
#[derive(Debug, Clone)]
pub struct Fact {
    /// The sequence in the user's stream, from 1.
    pub sequence: i64,
    /// The number of the position in the lane.
    pub position: i64,
    /// The fact.
    pub event: Event,
}

/// The kinds of events that a fold needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// All events.
    All,
    /// Events that grant rewards or change their states.
    OfRewards,
}

impl Kinds {
    fn condition(self) -> &'static str {
        match self {
            Self::All => "",
            Self::OfRewards => {
                " and event_type in ('milestone_reached', 'rewards_claimed', 'rewards_expired',
                                     'rewards_forfeited', 'rewards_granted', 'delivery_started',
                                     'reward_delivered', 'reward_failed', 'redelivery_requested',
                                     'reward_granted', 'rewards_revoked')"
            }
        }
    }
}

/// A user's events, in order.
#[derive(Debug, Clone)]
pub struct UserFacts {
    /// The user, who may have an id that is not allowed if the log is damaged.
    pub user: String,
    /// The events before the first unreadable one.
    pub facts: Vec<Fact>,
    /// The reason why the rest can't be read; `None` if all were read.
    pub unreadable: Option<String>,
}

/// A page of a lane's log in order of users.
#[derive(Debug, Clone)]
pub struct FactsPage {
    /// The users in order of their ids.
    pub users: Vec<UserFacts>,
    /// The number of events read.
    pub events: usize,
    /// The user and the sequence of the last event.
    pub last: Option<(String, i64)>,
}

/// Groups rows of (user, sequence, position, type, version, payload) by user. The rows are in order
/// of users.
fn by_user(rows: &[PgRow]) -> sqlx::Result<Vec<UserFacts>> {
    let mut users: Vec<UserFacts> = Vec::new();
    for row in rows {
        let user: &str = row.try_get(0)?;
        if users.last().is_none_or(|open| open.user != user) {
            let unreadable = UserId::try_from(user.to_owned()).err().map(|e| e.to_string());
            users.push(UserFacts { user: user.to_owned(), facts: Vec::new(), unreadable });
        }
        let Some(open) = users.last_mut().filter(|open| open.unreadable.is_none()) else {
            continue;
        };
        let (sequence, position) = (row.try_get(1)?, row.try_get(2)?);
        match upcasters::read(row.try_get(3)?, row.try_get(4)?, row.try_get(5)?) {
            Ok(event) => open.facts.push(Fact { sequence, position, event }),
            Err(error) => open.unreadable = Some(format!("event {sequence}: {error}")),
        }
    }
    Ok(users)
}

/// Reads a page of one lane's log in order of users, beginning after `(user, sequence)`. In this
/// order each user's history is contiguous.
pub async fn users_page(
    lane: Lane,
    after: (&str, i64),
    kinds: Kinds,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<FactsPage> {
    let sql = format!(
        "select aggregate_id, sequence, position, event_type, event_version, payload::text
         from events
         where lane = $1 and aggregate_type = $2 and (aggregate_id, sequence) > ($3, $4){}
         order by aggregate_id, sequence limit $5",
        kinds.condition()
    );
    let rows = sqlx::query(&sql)
        .bind(lane.0)
        .bind(AGGREGATE_TYPE)
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let last = rows.last().map(|row| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?)));
    Ok(FactsPage { users: by_user(&rows)?, events: rows.len(), last: last.transpose()? })
}

/// Reads the whole streams of some users of a lane, in the order of `users`.
pub async fn users_whole(
    lane: Lane,
    users: &[&str],
    kinds: Kinds,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<UserFacts>> {
    let sql = format!(
        "select u.user_id, e.sequence, e.position, e.event_type, e.event_version, e.payload::text
         from unnest($2::text[]) with ordinality u (user_id, place)
         cross join lateral (
             select sequence, position, event_type, event_version, payload from events
             where lane = $1 and aggregate_type = $3 and aggregate_id = u.user_id{}
             order by sequence offset 0
         ) e
         order by u.place, e.sequence",
        kinds.condition()
    );
    let rows = sqlx::query(&sql)
        .bind(lane.0)
        .bind(users)
        .bind(AGGREGATE_TYPE)
        .fetch_all(connection)
        .await?;
    by_user(&rows)
}

/// A page of a lane's log, in order.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// Each event with its user, or the reason why it can't be read.
    pub facts: Vec<(String, Result<Fact, String>)>,
    /// The position up to which the page covers the log.
    pub up_to: i64,
}

/// Reads a page of one lane's log after a position and up to a head, which must be committed.
pub async fn facts_after(
    lane: Lane,
    after: i64,
    head: i64,
    kinds: Kinds,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<LogPage> {
    let sql = format!(
        "select aggregate_id, sequence, position, event_type, event_version, payload::text
         from events
         where lane = $1 and position > $2 and position <= $3 and aggregate_type = $4{}
         order by position limit $5",
        kinds.condition()
    );
    let rows = sqlx::query(&sql)
        .bind(lane.0)
        .bind(after)
        .bind(head)
        .bind(AGGREGATE_TYPE)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let mut page = LogPage { facts: Vec::with_capacity(rows.len()), up_to: head };
    for row in &rows {
        let (sequence, position) = (row.try_get(1)?, row.try_get(2)?);
        if is_full {
            page.up_to = position;
        }
        let read = upcasters::read(row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        let fact = read
            .map(|event| Fact { sequence, position, event })
            .map_err(|error| format!("event {sequence}: {error}"));
        page.facts.push((row.try_get(0)?, fact));
    }
    Ok(page)
}

/// Returns the users in a page of one lane's log after a position, and the last position of the
/// page.
pub async fn users_after(
    lane: Lane,
    after: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> Result<(BTreeSet<String>, i64), ExecuteError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(include_str!("reader/users_after.sql"))
        .bind(lane.0)
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let last = rows.last().map_or(after, |(_, position)| *position);
    Ok((rows.into_iter().map(|(user, _)| user).collect(), last))
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
