//! Unclaimed rewards whose state is due to change, by user.

use std::collections::BTreeMap;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::instant;
use crate::states::{undecodable, unless_unreadable};

/// Users to settle, with the time as of which their unclaimed rewards are settled.
pub type SettledUsers = BTreeMap<(Lane, UserId), jiff::Timestamp>;

/// The maximum number of milestones of a user settled in one transaction. The sweeper returns for
/// the rest.
pub const SETTLED_MAX: i64 = 500;

/// The maximum number of milestones loaded in one transaction for settling, over all users.
const SETTLED_TOGETHER_MAX: i64 = 10_000;

/// The number of milestones to load for each of `users` users: `most`, or an equal share of the
/// maximum for all of them.
pub fn share_of(users: usize, most: i64) -> i64 {
    let users = i64::try_from(users).unwrap_or(i64::MAX).max(1);
    (SETTLED_TOGETHER_MAX / users).clamp(1, most)
}

/// Returns users with due rewards, from up to `per_lane` milestones of each lane and without the
/// `skipped` users, and the time since which the oldest is due.
pub async fn due_users(
    as_of: jiff::Timestamp,
    per_lane: i64,
    skipped: &[String],
    connection: &mut PgConnection,
) -> sqlx::Result<(Vec<(Lane, UserId)>, Option<jiff::Timestamp>)> {
    let rows = sqlx::query(include_str!("due_users.sql"))
        .bind(instant::to_sql(as_of))
        .bind(per_lane)
        .bind(skipped)
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
