//! Grants that were handed over to payers, whatever their state now.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::aggregate::AGGREGATE_TYPE;
use crate::instant;

/// The warning for a revoked grant that [`handed_over`] returns.
pub const MAY_BE_PAID: &str = "the grant was handed to its payer before it was revoked, and may have been paid: ask the \
                               payer, or compare with its payments (`plaudit rewards reconcile --against`)";

/// Returns the grants among these that were ever handed to their payers. Either the log records
/// this before anything is sent, or a revocation is refused until the delivery has ended. So grants
/// that are left out and can be revoked were never sent.
pub async fn handed_over(
    lane: Lane,
    user: &UserId,
    grants: &[Uuid],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Uuid>> {
    let found: Vec<String> = sqlx::query_scalar(include_str!("handed_over.sql"))
        .bind(lane.0)
        .bind(AGGREGATE_TYPE)
        .bind(user.as_str())
        .bind(grants.iter().map(Uuid::to_string).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(grants.iter().copied().filter(|grant| found.contains(&grant.to_string())).collect())
}

/// Returns the grants among these that a payer reported as paid, although the report changed
/// nothing.
pub async fn said_to_be_paid(
    grants: &[(Lane, UserId, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    if grants.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<Uuid> = sqlx::query_scalar(include_str!("said_to_be_paid.sql"))
        .bind(grants.iter().map(|(lane, _, _)| lane.0).collect::<Vec<_>>())
        .bind(grants.iter().map(|(_, user, _)| user.as_str()).collect::<Vec<_>>())
        .bind(grants.iter().map(|(_, _, grant)| *grant).collect::<Vec<_>>())
        .bind(AGGREGATE_TYPE)
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}

/// The delivery of a grant to its payer, and its progress.
#[derive(Debug, Clone)]
pub struct Underway {
    /// Its channel.
    pub channel: String,
    /// The time at which it was queued, for the first time or again.
    pub queued_at: Timestamp,
    /// The time at which it is given up; `None`: no limit.
    pub give_up_at: Option<Timestamp>,
}

/// Returns the deliveries to payers of some grants. Grants that are not queued yet are left out.
pub async fn underway(
    grants: &[(Lane, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<Uuid, Underway>> {
    if grants.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(include_str!("underway.sql"))
        .bind(grants.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(grants.iter().map(|(_, grant)| *grant).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    let read = |row: &sqlx::postgres::PgRow| {
        let queued_at: DateTime<Utc> = row.try_get(2)?;
        let give_up_at: Option<DateTime<Utc>> = row.try_get(3)?;
        let underway = Underway {
            channel: row.try_get(1)?,
            queued_at: instant::from_sql(queued_at),
            give_up_at: give_up_at.map(instant::from_sql),
        };
        Ok((row.try_get(0)?, underway))
    };
    rows.iter().map(read).collect()
}
