//! Deliveries with an unreadable row: they fail without blocking others.

use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Reward;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{DeliveryState, Due};
use crate::rewards::RewardPlace;
use crate::states::undecodable;

/// Reads these rows. An unreadable delivery is marked as failed, with the reason; a redelivery by
/// an operator queues it again from the log.
pub(super) async fn readable(
    rows: &[PgRow],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Due>> {
    let mut due = Vec::with_capacity(rows.len());
    for row in rows {
        match due_of(row) {
            Ok(one) => due.push(one),
            Err(error) => fail(row, &error, connection).await?,
        }
    }
    Ok(due)
}

async fn fail(row: &PgRow, error: &sqlx::Error, connection: &mut PgConnection) -> sqlx::Result<()> {
    let (lane, grant): (i16, Uuid) = (row.try_get("lane")?, row.try_get("grant_id")?);
    let channel: &str = row.try_get("channel")?;
    tracing::error!(%grant, channel, "a row of deliveries can't be read; the delivery fails: {error}");
    sqlx::query(include_str!("fail_unreadable.sql"))
        .bind(lane)
        .bind(grant)
        .bind(channel)
        .bind(format!("the row of the delivery can't be read: {error}"))
        .execute(connection)
        .await?;
    Ok(())
}

fn due_of(row: &PgRow) -> sqlx::Result<Due> {
    let user: String = row.try_get("user_id")?;
    let time_left: Option<f64> = row.try_get("time_left")?;
    Ok(Due {
        lane: Lane(row.try_get("lane")?),
        user: user.try_into().map_err(undecodable)?,
        reward: row.try_get::<Json<Reward>, _>("reward")?.0,
        place: RewardPlace { position: row.try_get("position")?, ordinal: row.try_get("ordinal")? },
        channel: row.try_get("channel")?,
        pays: row.try_get("pays")?,
        attempts: row.try_get("attempts")?,
        is_sent: row.try_get::<&str, _>("state")? == DeliveryState::Sent.as_str(),
        reason: row.try_get("reason")?,
        time_left: time_left.map(|left| Duration::try_from_secs_f64(left).unwrap_or_default()),
        redeliveries: row.try_get("redeliveries")?,
        is_acknowledged: row.try_get("acknowledged")?,
    })
}
