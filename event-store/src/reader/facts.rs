//! Facts: the events of the log without their surroundings, by lane, for folds of many users.

use std::collections::BTreeSet;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Event;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::aggregate::AGGREGATE_TYPE;
use crate::error::ExecuteError;
use crate::upcasters;

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
    /// Puts the condition on the event types into a statement.
    pub(super) fn restrict(self, sql: &str) -> String {
        sql.replace("{kinds}", self.condition())
    }

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
    /// The lane of the stream.
    pub lane: Lane,
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

/// Groups rows of (lane, user, sequence, position, type, version, payload) by lane and user, in
/// whose order they are.
fn by_user(rows: &[PgRow]) -> sqlx::Result<Vec<UserFacts>> {
    let mut users: Vec<UserFacts> = Vec::new();
    for row in rows {
        let (lane, user): (_, &str) = (Lane(row.try_get(0)?), row.try_get(1)?);
        if users.last().is_none_or(|open| (open.lane, open.user.as_str()) != (lane, user)) {
            let unreadable = UserId::try_from(user.to_owned()).err().map(|e| e.to_string());
            users.push(UserFacts { lane, user: user.to_owned(), facts: Vec::new(), unreadable });
        }
        let Some(open) = users.last_mut().filter(|open| open.unreadable.is_none()) else {
            continue;
        };
        let (sequence, position) = (row.try_get(2)?, row.try_get(3)?);
        match upcasters::read(row.try_get(4)?, row.try_get(5)?, row.try_get(6)?) {
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
    let sql = kinds.restrict(include_str!("users_page.sql"));
    let rows = sqlx::query(&sql)
        .bind(lane.0)
        .bind(AGGREGATE_TYPE)
        .bind(after.0)
        .bind(after.1)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let last = rows.last().map(|row| Ok::<_, sqlx::Error>((row.try_get(1)?, row.try_get(2)?)));
    Ok(FactsPage { users: by_user(&rows)?, events: rows.len(), last: last.transpose()? })
}

/// Reads the whole streams of some users, each in its lane, in the order of `users`.
pub async fn users_whole(
    users: &[(Lane, &str)],
    kinds: Kinds,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<UserFacts>> {
    let sql = kinds.restrict(include_str!("users_whole.sql"));
    let rows = sqlx::query(&sql)
        .bind(users.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(users.iter().map(|(_, user)| *user).collect::<Vec<_>>())
        .bind(AGGREGATE_TYPE)
        .fetch_all(connection)
        .await?;
    by_user(&rows)
}

/// Returns the users in a page of one lane's log after a position, and the last position of the
/// page.
pub async fn users_after(
    lane: Lane,
    after: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> Result<(BTreeSet<String>, i64), ExecuteError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(include_str!("users_after.sql"))
        .bind(lane.0)
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    let last = rows.last().map_or(after, |(_, position)| *position);
    Ok((rows.into_iter().map(|(user, _)| user).collect(), last))
}
