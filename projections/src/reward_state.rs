//! `reward_state`: one row per granted reward line, from the events that grant and move rewards.

mod ledger;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Reward, RewardState};
use plaudit_event_store::instant;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

pub(crate) use ledger::Ledger;

use crate::error::undecodable;

/// One reward line of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardRow {
    /// What was granted. `reached_at` is when.
    pub reward: Reward,
    /// Where it stands.
    pub state: RewardState,
    /// Where it was granted: its place in the order in which the user earned rewards.
    pub place: RewardPlace,
}

/// The place of a reward in its lane: of the event that granted it, and among the event's rewards.
/// Written `5210-0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RewardPlace {
    /// The number of the event's position.
    pub position: i64,
    /// From 0.
    pub ordinal: i32,
}

impl fmt::Display for RewardPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.position, self.ordinal)
    }
}

impl FromStr for RewardPlace {
    type Err = InvalidRewardPlace;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let parse = || {
            let (position, ordinal) =
                got.split_once('-').filter(|(p, o)| digits(p) && digits(o))?;
            Some(Self { position: position.parse().ok()?, ordinal: ordinal.parse().ok()? })
        };
        parse().ok_or_else(|| InvalidRewardPlace { got: got.to_owned() })
    }
}

/// Why a text is not a [`RewardPlace`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a place in a list of rewards looks like 5210-0, as `next` gave it, got {got:?}")]
pub struct InvalidRewardPlace {
    got: String,
}

/// A page of a user's rewards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewardPage {
    /// Oldest first.
    pub rows: Vec<RewardRow>,
    /// The head of the user's lane at which it was true.
    pub position: Position,
    /// What the next page comes after; `None`: there is no more.
    pub next: Option<RewardPlace>,
}

/// Reads a page of what a user earned: those in `state`, after a place, at most `limit`.
///
/// # Errors
///
/// `RowNotFound` if there is no such lane.
pub async fn load(
    pool: &PgPool,
    lane: Lane,
    user: &UserId,
    state: Option<&str>,
    after: Option<RewardPlace>,
    limit: u32,
) -> sqlx::Result<RewardPage> {
    let limit = limit.max(1);
    let found = sqlx::query(include_str!("reward_state/load.sql"))
        .bind(lane.0)
        .bind(user.as_str())
        .bind(after.map_or(0, |after| after.position))
        .bind(after.map_or(0, |after| after.ordinal))
        .bind(state)
        .bind(i64::from(limit) + 1) // one more tells whether there is a next page
        .fetch_all(pool)
        .await?;
    let number = found.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    let rows = found.iter().map(|row| RewardRow::read(row, 1));
    let mut rows: Vec<_> = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = (rows.len() > limit).then(|| rows[limit - 1].place);
    rows.truncate(limit);
    Ok(RewardPage { rows, position: Position { lane, number }, next })
}

/// The columns of a row after its user, in the order in which [`RewardRow::read`] takes them.
pub(crate) const COLUMNS: &str = "task_id, period_key, milestone, line, grant_id, kind, code, amount, state, granted_at, granted_position, ordinal, version";

impl RewardRow {
    /// The version that promised it, as PostgreSQL counts.
    pub(crate) fn version(&self) -> i32 {
        i32::try_from(self.reward.version).unwrap_or(i32::MAX)
    }

    /// Reads [`COLUMNS`] from the column `first` on; `None` if they are an outer join's nulls.
    pub(crate) fn read(row: &PgRow, first: usize) -> sqlx::Result<Option<Self>> {
        let Some(task) = row.try_get::<Option<String>, _>(first)? else { return Ok(None) };
        let granted_at: DateTime<Utc> = row.try_get(first + 9)?;
        Ok(Some(Self {
            reward: Reward {
                grant: row.try_get(first + 4)?,
                task: task.try_into().map_err(undecodable)?,
                version: u32::try_from(row.try_get::<i32, _>(first + 12)?).map_err(undecodable)?,
                period: row.try_get::<String, _>(first + 1)?.into(),
                milestone: row.try_get(first + 2)?,
                line: row.try_get(first + 3)?,
                kind: row.try_get(first + 5)?,
                code: row.try_get(first + 6)?,
                amount: row.try_get(first + 7)?,
                reached_at: instant::from_sql(granted_at),
            },
            state: state_from(row.try_get(first + 8)?)?,
            place: RewardPlace {
                position: row.try_get(first + 10)?,
                ordinal: row.try_get(first + 11)?,
            },
        }))
    }
}

fn state_from(text: &str) -> sqlx::Result<RewardState> {
    let known = [RewardState::Claimable, RewardState::Claimed, RewardState::Delivering];
    let found = known.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| undecodable(UnknownRewardState { got: text.to_owned() }))
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{got:?} is no state of a reward that this program knows; is it older than the one that wrote it?"
)]
struct UnknownRewardState {
    got: String,
}

/// Removes all rows of these users.
pub(crate) async fn delete(
    lanes: &[i16],
    users: &[&str],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query("delete from reward_state where lane = any($1) and user_id = any($2)")
        .bind(lanes)
        .bind(users)
        .execute(connection)
        .await?;
    Ok(())
}

/// Sets the states of rewards that were granted before.
pub(crate) async fn move_states(
    moved: &[(Lane, Uuid, RewardState)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let lanes: Vec<i16> = moved.iter().map(|(lane, ..)| lane.0).collect();
    sqlx::query(
        // Found first, each by one probe (the `limit` sees to that), then changed in its place.
        "update reward_state r set state = f.state
         from (select s.place, m.state
               from unnest($1::smallint[], $2::uuid[], $3::text[]) m (lane, grant_id, state)
               cross join lateral (
                   select ctid as place from reward_state
                   where lane = any($1) and lane = m.lane and grant_id = m.grant_id limit 1
               ) s) f
         where r.ctid = f.place and r.lane = any($1)",
    )
    .bind(&lanes)
    .bind(moved.iter().map(|(_, grant, _)| *grant).collect::<Vec<_>>())
    .bind(moved.iter().map(|(.., state)| state.as_str()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds rows.
pub(crate) async fn insert(
    granted: &[(Lane, &UserId, &RewardRow)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if granted.is_empty() {
        return Ok(());
    }
    let rows = || granted.iter().map(|(.., row)| row);
    let texts = |of: fn(&RewardRow) -> &str| rows().map(|row| of(row)).collect::<Vec<_>>();
    let numbers = |of: fn(&RewardRow) -> i64| rows().map(|row| of(row)).collect::<Vec<_>>();
    sqlx::query(include_str!("reward_state/insert.sql"))
        .bind(granted.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(granted.iter().map(|(_, user, _)| user.as_str()).collect::<Vec<_>>())
        .bind(texts(|row| row.reward.task.as_str()))
        .bind(texts(|row| row.reward.period.as_str()))
        .bind(numbers(|row| row.reward.milestone))
        .bind(texts(|row| &row.reward.line))
        .bind(rows().map(|row| row.reward.grant).collect::<Vec<_>>())
        .bind(texts(|row| &row.reward.kind))
        .bind(texts(|row| &row.reward.code))
        .bind(numbers(|row| row.reward.amount))
        .bind(texts(|row| row.state.as_str()))
        .bind(rows().map(|row| instant::to_sql(row.reward.reached_at)).collect::<Vec<_>>())
        .bind(numbers(|row| row.place.position))
        .bind(rows().map(|row| row.place.ordinal).collect::<Vec<_>>())
        .bind(rows().map(|row| row.version()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
