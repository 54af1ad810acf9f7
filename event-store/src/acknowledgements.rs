//! Finds acknowledgements that changed nothing when they first arrived, by the identity of the
//! action.

use std::collections::HashMap;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::aggregate::AGGREGATE_TYPE;

/// Grant that each acknowledgement named, by the identity of its action.
pub type IgnoredAcknowledgements = HashMap<Uuid, String>;

/// Returns those of the repeated actions that reported a reward as delivered and changed nothing.
pub async fn ignored(
    repeated: &[(Lane, UserId, Uuid)],
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<IgnoredAcknowledgements> {
    if repeated.is_empty() {
        return Ok(IgnoredAcknowledgements::new());
    }
    let rows: Vec<(Uuid, String)> = sqlx::query_as(include_str!("acknowledgements/ignored.sql"))
        .bind(repeated.iter().map(|(lane, _, _)| lane.0).collect::<Vec<_>>())
        .bind(repeated.iter().map(|(_, user, _)| user.as_str()).collect::<Vec<_>>())
        .bind(repeated.iter().map(|(_, _, identity)| *identity).collect::<Vec<_>>())
        .bind(window)
        .bind(AGGREGATE_TYPE)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}
