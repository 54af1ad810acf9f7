//! `deliveries`: one row per grant and channel. A follower of the log adds the rows; senders take
//! those that are due and store the outcome.

mod again;
pub mod handoffs;
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
pub use listing::{Filter, GrantEntry, GrantPage, Listed, find, grant_exists, list};
pub use new_payer::{NewPayer, PayerRoutes};
pub use report::{GrantList, GrantReport};
pub use settling::{
    Acknowledged, GivenUp, Settled, acknowledge_again, give_up, settle, still_current,
};

/// The channel that sends its records in the order of the log, and has its own index.
pub const IN_ORDER: &str = "kafka";

/// Time limit for delivery attempts by a channel whose settings name no other limit, or are unknown
/// here. After that the delivery fails, and an operator decides.
pub const RETRY_FOR: Duration = Duration::from_secs(72 * 3_600);

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be sent, for the first time or again.
    Waiting,
    /// Handed over, and not acknowledged yet.
    Sent,
    /// Paid; for a copy: accepted by its channel.
    Delivered,
    /// Given up, or refused by the payer.
    Failed,
    /// Revoked by an operator. Not sent.
    Revoked,
    /// An operator had the reward redelivered by another channel, which now leads to the payer. Not
    /// sent.
    Replaced,
}

impl DeliveryState {
    /// The state as stored.
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

/// A delivery to add to the table.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The user's lane.
    pub lane: Lane,
    /// The user who gets the reward.
    pub user: UserId,
    /// The reward.
    pub reward: Reward,
    /// The position in the log of the event that made it payable.
    pub place: RewardPlace,
    /// The channel that delivers it.
    pub channel: String,
    /// True if the channel leads to the payer.
    pub pays: bool,
    /// Time limit for the attempts; `None`: no limit.
    pub retry_for: Option<Duration>,
}

/// A delivery that a sender is to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The user's lane.
    pub lane: Lane,
    /// The user who gets the reward.
    pub user: UserId,
    /// The reward.
    pub reward: Reward,
    /// The position in the log of the event that made it payable.
    pub place: RewardPlace,
    /// The channel that delivers it.
    pub channel: String,
    /// True if the channel leads to the payer.
    pub pays: bool,
    /// The number of attempts since an operator last requested a redelivery.
    pub attempts: i32,
    /// True if it was handed over and is not acknowledged.
    pub is_sent: bool,
    /// The reason why the last attempt failed.
    pub reason: Option<String>,
    /// The time left, as of the read, until the delivery is given up; `None`: no limit.
    pub time_left: Option<Duration>,
    /// The number of redeliveries requested by operators. An attempt that began before the last
    /// request does not change the state of the delivery.
    pub redeliveries: i32,
    /// True if an action confirmed it before it was sent. It is sent all the same.
    pub is_acknowledged: bool,
}

/// One delivery attempt, as shown to operators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// The time at which it began.
    pub at: jiff::Timestamp,
    /// The duration in milliseconds.
    pub duration_ms: u64,
    /// The HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The first bytes of the answer, or the place where the broker stored the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// The outcome of an attempt.
#[derive(Debug, Clone)]
pub struct Noted {
    /// The user's lane.
    pub lane: Lane,
    /// The grant.
    pub grant: Uuid,
    /// The resulting state, unless the delivery was settled or redelivered in the meantime.
    pub state: DeliveryState,
    /// [`Due::redeliveries`] of the delivery that was attempted.
    pub redeliveries: i32,
    /// For `waiting`: the minimum delay before the next attempt.
    pub wait: Duration,
    /// For `sent`: the time limit for an acknowledgement.
    pub acknowledged_within: Duration,
    /// The attempt.
    pub attempt: Attempt,
}

/// Adds deliveries. Rows that exist already stay unchanged.
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

/// Returns the next deliveries of the ordered channel: the first of each lane, in order of the log,
/// from the given position on.
pub async fn next_in_order(
    lanes: &[(Lane, i64)],
    per_lane: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query(include_str!("deliveries/next_in_order.sql"))
        .bind(lanes.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(lanes.iter().map(|(_, from)| *from).collect::<Vec<_>>())
        .bind(per_lane)
        .fetch_all(&mut *connection)
        .await?;
    unreadable::readable(&rows, connection).await
}

/// Returns the next deliveries of any other channel, the longest due first.
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

/// Returns deliveries past their time limit, waiting to be sent or for an acknowledgement.
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

/// Stores attempts of a channel. A delivery settled in the meantime stays settled, and a redelivery
/// requested in the meantime stays due.
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

/// The waiting and failed deliveries of a channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backlog {
    /// Deliveries that wait to be sent.
    pub waiting: i64,
    /// The age of the oldest of them in seconds.
    pub oldest_seconds: f64,
    /// Deliveries that wait for an acknowledgement.
    pub unacknowledged: i64,
    /// Failed deliveries that no operator has redelivered or revoked.
    pub failed: i64,
    /// Of these, the number that failed within the last hour.
    pub failed_lately: i64,
}

/// Counts the waiting and failed deliveries of these lanes, by channel.
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
