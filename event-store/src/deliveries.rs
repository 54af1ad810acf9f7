//! `deliveries`: one row per grant and channel. A follower of the log adds the rows; senders take what is due,
//! and note what came of it.

mod listing;
mod report;

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Reward;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::rewards::RewardPlace;
use crate::states::undecodable;

pub use listing::{Filter, GrantEntry, GrantPage, Listed, find, list};
pub use report::GrantReport;

/// The channel whose records are sent in the order of the log, and whose index is its own.
pub const IN_ORDER: &str = "kafka";

/// What becomes of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be sent, for the first time or again.
    Waiting,
    /// Handed over, and not acknowledged yet.
    Sent,
    /// Paid; or, of a copy, taken by its channel.
    Delivered,
    /// Given up, or refused by the payer.
    Failed,
    /// Taken back by an operator. It is not sent.
    Revoked,
}

impl DeliveryState {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
        }
    }
}

/// A grant on its way into the table.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The user's lane.
    pub lane: Lane,
    /// Who gets it.
    pub user: UserId,
    /// What was granted.
    pub reward: Reward,
    /// The place in the log of what made it payable.
    pub place: RewardPlace,
    /// The channel by which it goes.
    pub channel: String,
    /// Whether the channel leads to the payer.
    pub pays: bool,
    /// How long it is tried; `None`: until it works.
    pub retry_for: Option<Duration>,
}

/// A delivery that a sender is to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The user's lane.
    pub lane: Lane,
    /// Who gets it.
    pub user: UserId,
    /// What was granted.
    pub reward: Reward,
    /// The channel by which it goes.
    pub channel: String,
    /// Whether the channel leads to the payer.
    pub pays: bool,
    /// How often it was tried.
    pub attempts: i32,
    /// Whether it was handed over, and is not acknowledged.
    pub is_sent: bool,
    /// Why the last attempt failed.
    pub reason: Option<String>,
}

/// One attempt, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: jiff::Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// The HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first bytes of the answer, or where the broker stored it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// What came of an attempt.
#[derive(Debug, Clone)]
pub struct Noted {
    /// The user's lane.
    pub lane: Lane,
    /// The grant.
    pub grant: Uuid,
    /// The state that follows, unless it was settled meanwhile.
    pub state: DeliveryState,
    /// If it waits: how long at least.
    pub wait: Duration,
    /// If it is sent: how long for an acknowledgement.
    pub acknowledged_within: Duration,
    /// The attempt.
    pub attempt: Attempt,
}

/// What became of a grant's delivery to the payer.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The user's lane.
    pub lane: Lane,
    /// The grant.
    pub grant: Uuid,
    /// Final.
    pub state: DeliveryState,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Adds deliveries; those that are there already stay as they are.
pub async fn queue(rows: &[Queued], connection: &mut PgConnection) -> sqlx::Result<()> {
    insert(rows, include_str!("deliveries/insert.sql"), connection).await
}

/// Makes deliveries wait anew, whatever became of them. Their channel leads to the payer from now on.
pub async fn queue_again(rows: &[Queued], connection: &mut PgConnection) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update deliveries d set pays = false
         from unnest($1::smallint[], $2::uuid[], $3::text[]) q (lane, grant_id, channel)
         where d.lane = q.lane and d.grant_id = q.grant_id and d.channel <> q.channel and d.pays",
    )
    .bind(rows.iter().map(|row| row.lane.0).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.reward.grant).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.channel.as_str()).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await?;
    insert(rows, include_str!("deliveries/insert_again.sql"), connection).await
}

async fn insert(rows: &[Queued], sql: &str, connection: &mut PgConnection) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(sql)
        .bind(rows.iter().map(|row| row.lane.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.reward.grant).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.channel.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.pays).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.user.as_str()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.place.position).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.place.ordinal).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| Json(&row.reward)).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.retry_for.map(|d| d.as_secs_f64())).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes what payers said, of the deliveries that lead to them; of revoked grants, copies that wait as well.
pub async fn settle(settled: &[Settled], connection: &mut PgConnection) -> sqlx::Result<()> {
    if settled.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update deliveries d set state = s.state, reason = s.reason, give_up_at = null
         from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) s (lane, grant_id, state, reason)
         where d.lane = s.lane and d.grant_id = s.grant_id
           and (d.pays or (s.state = 'revoked' and d.state = 'waiting'))",
    )
    .bind(settled.iter().map(|s| s.lane.0).collect::<Vec<_>>())
    .bind(settled.iter().map(|s| s.grant).collect::<Vec<_>>())
    .bind(settled.iter().map(|s| s.state.as_str()).collect::<Vec<_>>())
    .bind(settled.iter().map(|s| s.reason.as_deref()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// What the channel in order sends next: the first of each lane, in order of the log.
pub async fn next_in_order(
    lanes: &[Lane],
    per_lane: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query(include_str!("deliveries/next_in_order.sql"))
        .bind(numbers(lanes))
        .bind(per_lane)
        .fetch_all(connection)
        .await?;
    rows.iter().map(due_of).collect()
}

/// What another channel sends next: what has been due for longest.
pub async fn next_due(
    channel: &str,
    lanes: &[Lane],
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query(include_str!("deliveries/next_due.sql"))
        .bind(numbers(lanes))
        .bind(channel)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(due_of).collect()
}

/// What has waited for too long: to be sent, or for an acknowledgement.
pub async fn overdue(
    lanes: &[Lane],
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query(include_str!("deliveries/overdue.sql"))
        .bind(numbers(lanes))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(due_of).collect()
}

/// Notes attempts of a channel. What was settled meanwhile stays settled.
pub async fn note(
    channel: &str,
    noted: &[Noted],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if noted.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("deliveries/note.sql"))
        .bind(noted.iter().map(|n| n.lane.0).collect::<Vec<_>>())
        .bind(noted.iter().map(|n| n.grant).collect::<Vec<_>>())
        .bind(noted.iter().map(|n| n.state.as_str()).collect::<Vec<_>>())
        .bind(noted.iter().map(|n| n.wait.as_secs_f64()).collect::<Vec<_>>())
        .bind(noted.iter().map(|n| n.acknowledged_within.as_secs_f64()).collect::<Vec<_>>())
        .bind(noted.iter().map(|n| Json(&n.attempt)).collect::<Vec<_>>())
        .bind(noted.iter().map(|n| n.attempt.error.as_deref()).collect::<Vec<_>>())
        .bind(channel)
        .execute(connection)
        .await?;
    Ok(())
}

/// What waits in a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Backlog {
    /// Deliveries that wait to be sent.
    pub waiting: i64,
    /// For how long the oldest of them has waited, in seconds.
    pub oldest_seconds: f64,
    /// Deliveries that wait for an acknowledgement.
    pub unacknowledged: i64,
}

/// What waits in each channel, of these lanes.
pub async fn backlog(
    lanes: &[Lane],
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeMap<String, Backlog>> {
    let rows: Vec<(String, i64, Option<f64>, i64)> =
        sqlx::query_as(include_str!("deliveries/backlog.sql"))
            .bind(numbers(lanes))
            .fetch_all(connection)
            .await?;
    let backlog = |(channel, waiting, oldest, unacknowledged): (_, _, Option<f64>, _)| {
        let oldest_seconds = oldest.unwrap_or_default().max(0.0);
        (channel, Backlog { waiting, oldest_seconds, unacknowledged })
    };
    Ok(rows.into_iter().map(backlog).collect())
}

fn numbers(lanes: &[Lane]) -> Vec<i16> {
    lanes.iter().map(|lane| lane.0).collect()
}

fn due_of(row: &PgRow) -> sqlx::Result<Due> {
    let user: String = row.try_get("user_id")?;
    Ok(Due {
        lane: Lane(row.try_get("lane")?),
        user: user.try_into().map_err(undecodable)?,
        reward: row.try_get::<Json<Reward>, _>("reward")?.0,
        channel: row.try_get("channel")?,
        pays: row.try_get("pays")?,
        attempts: row.try_get("attempts")?,
        is_sent: row.try_get::<&str, _>("state")? == DeliveryState::Sent.as_str(),
        reason: row.try_get("reason")?,
    })
}
