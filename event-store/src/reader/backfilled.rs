//! The events that backfills wrote.

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use super::{Entry, RECORDED, entry};
use crate::aggregate::AGGREGATE_TYPE;

/// Limit on the events read: more than the backfills of a catalogue write for one action.
const READ_MAX: i64 = 2_000;

/// Reads the events of a user that backfills wrote and whose metadata holds a text, in order.
pub async fn of_backfills(
    lane: Lane,
    user: &UserId,
    text: &str,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Entry>> {
    // The pattern is a literal, because it is the condition of a partial index.
    let rows = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and aggregate_type = $2 and aggregate_id = $3
           and metadata::text like '%\"backfill\"%' and strpos(metadata::text, $4) > 0
         order by sequence limit $5"
    ))
    .bind(lane.0)
    .bind(AGGREGATE_TYPE)
    .bind(user.as_str())
    .bind(text)
    .bind(READ_MAX)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| entry(row, lane)).collect()
}
