//! Rewards that nobody claims: what is due, and whose it is.

use std::collections::BTreeMap;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::instant;
use crate::states::{undecodable, unless_unreadable};

/// Users with the moment as of which their unclaimed rewards are settled.
pub type SettledUsers = BTreeMap<(Lane, UserId), jiff::Timestamp>;

/// The most milestones of a user that one transaction settles. The sweeper comes back for the others.
pub const SETTLED_MAX: i64 = 500;

/// Users with rewards that are due, of every lane up to `per_lane` milestones, and since when the oldest is due.
pub async fn due_users(
    as_of: jiff::Timestamp,
    per_lane: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<(Vec<(Lane, UserId)>, Option<jiff::Timestamp>)> {
    let rows = sqlx::query(include_str!("due_users.sql"))
        .bind(instant::to_sql(as_of))
        .bind(per_lane)
        .fetch_all(connection)
        .await?;
    let mut users = Vec::with_capacity(rows.len());
    let mut oldest: Option<jiff::Timestamp> = None;
    let read = |row: &PgRow| {
        let user: String = row.try_get(1)?;
        let user = UserId::try_from(user).map_err(undecodable)?;
        Ok((Lane(row.try_get(0)?), user, instant::from_sql(row.try_get(2)?)))
    };
    for (lane, user, due_at) in
        rows.iter().filter_map(|row| unless_unreadable(read(row), "reward_state"))
    {
        users.push((lane, user));
        oldest = Some(oldest.map_or(due_at, |oldest| oldest.min(due_at)));
    }
    Ok((users, oldest))
}
