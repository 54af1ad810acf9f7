//! `deliveries`: one row per grant and channel. A follower of the log adds the rows; senders take what is due,
//! and note what came of it.

mod again;
mod listing;
mod new_payer;
mod report;
mod restored;
mod settling;
mod unreadable;

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

pub use again::{QueuedAgain, queue_again};
pub use listing::{Filter, GrantEntry, GrantPage, Listed, find, list};
pub use new_payer::{NewPayer, PayerRoutes};
pub use report::GrantReport;
pub use settling::{
    Acknowledged, GivenUp, Settled, acknowledge_again, give_up, settle, still_current,
};

/// The channel whose records are sent in the order of the log, and whose index is its own.
pub const IN_ORDER: &str = "kafka";

/// The time for which a reward is tried by a channel whose settings name no other one, or are not known here. After
/// that it fails, and an operator decides.
pub const RETRY_FOR: Duration = Duration::from_secs(72 * 3_600);

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
    /// An operator had it delivered again, and another channel leads to the payer since. It is not sent.
    Replaced,
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
            Self::Replaced => "replaced",
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
    /// The number of attempts since an operator last had it delivered again.
    pub attempts: i32,
    /// Whether it was handed over, and is not acknowledged.
    pub is_sent: bool,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// The time left, when read, until it is given up; `None`: it is not.
    pub time_left: Option<Duration>,
    /// The number of times that an operator had it delivered again. What comes of an attempt that began before the
    /// last of them changes nothing about the delivery.
    pub redeliveries: i32,
    /// Whether an action confirmed it before it was sent: it is sent all the same.
    pub is_acknowledged: bool,
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
    /// The reason of the failure.
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
    /// The state that follows, unless it was settled or redelivered meanwhile.
    pub state: DeliveryState,
    /// [`Due::redeliveries`] of the delivery that was attempted.
    pub redeliveries: i32,
    /// If it waits: how long at least.
    pub wait: Duration,
    /// If it is sent: how long for an acknowledgement.
    pub acknowledged_within: Duration,
    /// The attempt.
    pub attempt: Attempt,
}

/// Adds deliveries; those that are there already stay as they are.
pub async fn queue(rows: &[Queued], connection: &mut PgConnection) -> sqlx::Result<()> {
    insert(rows, include_str!("deliveries/insert.sql"), connection).await
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

/// What the channel in order sends next: the first of each lane, in order of the log.
pub async fn next_in_order(
    lanes: &[Lane],
    per_lane: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query(include_str!("deliveries/next_in_order.sql"))
        .bind(numbers(lanes))
        .bind(per_lane)
        .fetch_all(&mut *connection)
        .await?;
    unreadable::readable(&rows, connection).await
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
        .fetch_all(&mut *connection)
        .await?;
    unreadable::readable(&rows, connection).await
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
        .fetch_all(&mut *connection)
        .await?;
    unreadable::readable(&rows, connection).await
}

/// Notes attempts of a channel. What was settled meanwhile stays settled, and what an operator had delivered again
/// stays to be sent.
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
        .bind(noted.iter().map(|n| n.redeliveries).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// The deliveries of a channel that wait, and those that have failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backlog {
    /// Deliveries that wait to be sent.
    pub waiting: i64,
    /// For how long the oldest of them has waited, in seconds.
    pub oldest_seconds: f64,
    /// Deliveries that wait for an acknowledgement.
    pub unacknowledged: i64,
    /// Deliveries that have failed, and that no operator has had delivered again or revoked.
    pub failed: i64,
    /// Those of them that failed within the last hour.
    pub failed_lately: i64,
}

/// Counts the waiting and failed deliveries of each channel, of these lanes.
pub async fn backlog(
    lanes: &[Lane],
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeMap<String, Backlog>> {
    let rows = sqlx::query(include_str!("deliveries/backlog.sql"))
        .bind(numbers(lanes))
        .fetch_all(connection)
        .await?;
    let backlog = |row: &PgRow| {
        let oldest_seconds: Option<f64> = row.try_get(2)?;
        let backlog = Backlog {
            waiting: row.try_get(1)?,
            oldest_seconds: oldest_seconds.unwrap_or_default().max(0.0),
            unacknowledged: row.try_get(3)?,
            failed: row.try_get(4)?,
            failed_lately: row.try_get(5)?,
        };
        Ok((row.try_get(0)?, backlog))
    };
    rows.iter().map(backlog).collect()
}

fn numbers(lanes: &[Lane]) -> Vec<i16> {
    lanes.iter().map(|lane| lane.0).collect()
}
