//! Reading the log: by user, and by lane.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Event, UserTasks, evolve};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::aggregate::AGGREGATE_TYPE;
use crate::batch::Receipt;
use crate::error::ExecuteError;
use crate::{instant, upcasters};

/// An event with what surrounds it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The user.
    pub user: UserId,
    /// Its place in the user's stream, from 1.
    pub sequence: i64,
    /// Its place in the log.
    pub position: Position,
    /// When PostgreSQL stored it.
    pub recorded_at: Timestamp,
    /// What is about it: a flat object of strings.
    pub metadata: Value,
    /// The fact.
    pub event: Event,
}

/// What [`recorded`] reads of each row.
const RECORDED: &str = "select aggregate_id, sequence, position, event_type, event_version, \
                        payload::text, metadata, recorded_at from events";

fn recorded(row: &PgRow, lane: Lane) -> Result<Recorded, ExecuteError> {
    let user: String = row.try_get("aggregate_id")?;
    let unreadable = |e: &dyn std::fmt::Display| {
        let sequence: i64 = row.try_get("sequence").unwrap_or(0);
        ExecuteError::Unreadable(format!("event {sequence} of user {user}: {e}"))
    };
    let (event_type, version): (&str, &str) =
        (row.try_get("event_type")?, row.try_get("event_version")?);
    let event = upcasters::read(event_type, version, row.try_get("payload")?)
        .map_err(|e| unreadable(&e))?;
    let at: DateTime<Utc> = row.try_get("recorded_at")?;
    Ok(Recorded {
        sequence: row.try_get("sequence")?,
        position: Position { lane, number: row.try_get("position")? },
        recorded_at: instant::from_sql(at),
        metadata: row.try_get("metadata")?,
        event,
        user: UserId::try_from(user.clone()).map_err(|e| unreadable(&e))?,
    })
}

/// A page of one user's stream, after a sequence.
pub async fn user_page(
    lane: Lane,
    user: &UserId,
    after: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> Result<Vec<Recorded>, ExecuteError> {
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
    rows.iter().map(|row| recorded(row, lane)).collect()
}

/// The events of one lane that may make rewards payable, after a position and up to a head.
pub async fn rewards_page(
    lane: Lane,
    after: i64,
    up_to: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> Result<Vec<Recorded>, ExecuteError> {
    // The types stand in the text: they are the condition of a partial index.
    let rows = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and position > $2 and position <= $3
           and event_type in ('milestone_reached', 'rewards_claimed')
         order by position limit $4"
    ))
    .bind(lane.0)
    .bind(after)
    .bind(up_to)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| recorded(row, lane)).collect()
}

/// An event as a fold needs it: whose, where, and the fact.
#[derive(Debug, Clone)]
pub struct Fact {
    /// Its place in the user's stream, from 1.
    pub sequence: i64,
    /// Its place in the lane.
    pub position: i64,
    /// The fact.
    pub event: Event,
}

/// Which events a fold wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinds {
    /// All.
    All,
    /// Those that grant rewards or move them.
    OfRewards,
}

impl Kinds {
    fn condition(self) -> &'static str {
        match self {
            Self::All => "",
            Self::OfRewards => {
                " and event_type in ('milestone_reached', 'rewards_claimed', 'delivery_started')"
            }
        }
    }
}

/// A user with some facts, in order.
pub type UserFacts = (UserId, Vec<Fact>);

/// Puts rows of (user, sequence, position, type, version, payload), in order of users, together.
fn by_user(rows: &[PgRow]) -> Result<Vec<UserFacts>, ExecuteError> {
    let mut users: Vec<UserFacts> = Vec::new();
    for row in rows {
        let user: &str = row.try_get(0)?;
        let sequence: i64 = row.try_get(1)?;
        let unreadable = |e: &dyn std::fmt::Display| {
            ExecuteError::Unreadable(format!("event {sequence} of user {user}: {e}"))
        };
        let event = upcasters::read(row.try_get(3)?, row.try_get(4)?, row.try_get(5)?)
            .map_err(|e| unreadable(&e))?;
        let fact = Fact { sequence, position: row.try_get(2)?, event };
        match users.last_mut().filter(|(open, _)| open.as_str() == user) {
            Some((_, facts)) => facts.push(fact),
            None => {
                let user = UserId::try_from(user.to_owned()).map_err(|e| unreadable(&e))?;
                users.push((user, vec![fact]));
            }
        }
    }
    Ok(users)
}

/// A page of one lane's log in order of users: each user's history is contiguous there. Begins
/// after `(user, sequence)`. Also tells how many events it has.
pub async fn users_page(
    lane: Lane,
    after: (&str, i64),
    kinds: Kinds,
    limit: i64,
    connection: &mut PgConnection,
) -> Result<(Vec<UserFacts>, usize), ExecuteError> {
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
    Ok((by_user(&rows)?, rows.len()))
}

/// The whole streams of some users of a lane, in order of their ids.
pub async fn users_whole(
    lane: Lane,
    users: &[&str],
    kinds: Kinds,
    connection: &mut PgConnection,
) -> Result<Vec<UserFacts>, ExecuteError> {
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

/// The users of a page of one lane's log after a position, and the last position of the page.
pub async fn users_after(
    lane: Lane,
    after: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> Result<(BTreeSet<String>, i64), ExecuteError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select aggregate_id, position from events where lane = $1 and position > $2
         order by position limit $3",
    )
    .bind(lane.0)
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let last = rows.last().map_or(after, |(_, position)| *position);
    Ok((rows.into_iter().map(|(user, _)| user).collect(), last))
}

/// Where to stop folding.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// At this sequence, inclusive.
    Sequence(i64),
    /// Before the first event that was stored after this instant.
    Time(Timestamp),
}

/// How many events of a user are read at once.
const PAGE: i64 = 5_000;

/// Folds a user's stream from the log, wholly or up to a point. Returns the sequence reached.
pub async fn fold_user(
    lane: Lane,
    user: &UserId,
    until: Option<Until>,
    connection: &mut PgConnection,
) -> Result<(UserTasks, i64), ExecuteError> {
    let (mut state, mut sequence) = (UserTasks::default(), 0);
    loop {
        let page = user_page(lane, user, sequence, PAGE, connection).await?;
        for recorded in &page {
            let beyond = match until {
                None => false,
                Some(Until::Sequence(last)) => recorded.sequence > last,
                Some(Until::Time(at)) => recorded.recorded_at > at,
            };
            if beyond {
                return Ok((state, sequence));
            }
            evolve(&mut state, &recorded.event);
            sequence = recorded.sequence;
        }
        if page.is_empty() {
            return Ok((state, sequence));
        }
    }
}

/// The receipt of an earlier claim, by the log.
pub async fn earlier_claim(
    lane: Lane,
    user: &UserId,
    task: &TaskId,
    period: &str,
    milestone: i64,
    connection: &mut PgConnection,
) -> Result<Option<Receipt>, ExecuteError> {
    let row = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and aggregate_type = $2 and aggregate_id = $3 and event_type = 'rewards_claimed'
           and payload ->> 'task' = $4 and payload -> 'period' ->> 'key' = $5 and payload ->> 'milestone' = $6
         order by sequence limit 1"
    ))
    .bind(lane.0)
    .bind(AGGREGATE_TYPE)
    .bind(user.as_str())
    .bind(task.as_str())
    .bind(period)
    .bind(milestone.to_string())
    .fetch_optional(connection)
    .await?;
    let found = row.as_ref().map(|row| recorded(row, lane)).transpose()?;
    Ok(found.and_then(|found| Receipt::new(user, &found.event, found.position)))
}

/// The head of every lane: the position of its last committed event.
pub async fn heads(connection: &mut PgConnection) -> sqlx::Result<Vec<Position>> {
    let rows: Vec<(i16, i64)> =
        sqlx::query_as("select lane, next_position - 1 from lanes order by lane")
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(lane, number)| Position { lane: Lane(lane), number }).collect())
}
