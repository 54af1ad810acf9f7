//! Redeliveries requested by operators.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{IN_ORDER, Queued, RETRY_FOR, insert};

/// A grant that is to be delivered again.
#[derive(Debug, Clone)]
pub struct QueuedAgain {
    /// The delivery, by the channel of the current settings.
    pub queued: Queued,
    /// True to use the channel that the grant was already sent by, if there is one.
    pub keeps_payer: bool,
    /// True if the grant may have been sent even though no attempt is noted.
    pub was_sent: bool,
}

/// Queues grants for another delivery, whatever their state. From now on only the channels used
/// here lead to the payers.
pub async fn queue_again(again: &[QueuedAgain], connection: &mut PgConnection) -> sqlx::Result<()> {
    if again.is_empty() {
        return Ok(());
    }
    let asked = asked_ways(again, connection).await?;
    let rows: Vec<Queued> = again.iter().map(|row| kept(row.queued.clone(), &asked)).collect();
    sqlx::query(include_str!("replace.sql"))
        .bind(rows.iter().map(|row| row.lane.0).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.reward.grant).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.channel.as_str()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    insert(&rows, include_str!("insert_again.sql"), connection).await
}

/// Finds the channels of the grants that keep their payers.
async fn asked_ways(
    again: &[QueuedAgain],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<Uuid, String>> {
    let keeping: Vec<&QueuedAgain> = again.iter().filter(|row| row.keeps_payer).collect();
    if keeping.is_empty() {
        return Ok(HashMap::new());
    }
    let ways: Vec<(Uuid, String)> = sqlx::query_as(include_str!("asked_ways.sql"))
        .bind(keeping.iter().map(|row| row.queued.lane.0).collect::<Vec<_>>())
        .bind(keeping.iter().map(|row| row.queued.reward.grant).collect::<Vec<_>>())
        .bind(keeping.iter().map(|row| row.queued.channel.as_str()).collect::<Vec<_>>())
        .bind(keeping.iter().map(|row| row.was_sent).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(ways.into_iter().collect())
}

fn kept(queued: Queued, asked: &HashMap<Uuid, String>) -> Queued {
    match asked.get(&queued.reward.grant) {
        Some(channel) => {
            let retry_for = (channel != IN_ORDER).then_some(RETRY_FOR);
            Queued { channel: channel.clone(), retry_for, ..queued }
        }
        None => queued,
    }
}
