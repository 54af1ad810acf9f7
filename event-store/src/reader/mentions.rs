//! The events that mention a grant.

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Entry, RECORDED, entry};
use crate::aggregate::AGGREGATE_TYPE;

/// Reads the events of a user after a sequence that mention a grant, in order.
pub async fn mentions(
    lane: Lane,
    user: &UserId,
    after: i64,
    grant: Uuid,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<Entry>> {
    let rows = sqlx::query(&format!(
        "{RECORDED}
         where lane = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence > $4
           and payload::text like '%' || $5 || '%'
         order by sequence limit $6"
    ))
    .bind(lane.0)
    .bind(AGGREGATE_TYPE)
    .bind(user.as_str())
    .bind(after)
    .bind(grant.to_string())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| entry(row, lane)).collect()
}
