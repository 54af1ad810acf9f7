//! `hand_receipts`: the receipts of changes by hand, under their idempotency keys.

use std::collections::HashMap;

use plaudit_domain::lane::Lane;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use crate::batch::{HandReceipt, RequestKey};

/// Retention of receipts in days.
const KEPT_DAYS: i32 = 30;

/// Loads the receipts stored under these keys.
pub async fn load(
    requested: &[(Lane, RequestKey)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<RequestKey, HandReceipt>> {
    if requested.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, Json<HandReceipt>)> =
        sqlx::query_as(include_str!("hand_receipts/load.sql"))
            .bind(requested.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
            .bind(requested.iter().map(|(_, of)| of.user.as_str()).collect::<Vec<_>>())
            .bind(requested.iter().map(|(_, of)| of.operation.as_str()).collect::<Vec<_>>())
            .bind(requested.iter().map(|(_, of)| of.key.as_str()).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
    // `with ordinality` counts from 1.
    let of = |place: i64| requested.get(usize::try_from(place - 1).ok()?);
    let found = rows
        .into_iter()
        .filter_map(|(place, Json(receipt))| of(place).map(|(_, of)| (of.clone(), receipt)));
    Ok(found.collect())
}

/// Stores receipts.
pub async fn insert(
    given: &[(Lane, RequestKey, HandReceipt)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if given.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("hand_receipts/insert.sql"))
        .bind(given.iter().map(|(lane, ..)| lane.0).collect::<Vec<_>>())
        .bind(given.iter().map(|(_, of, _)| of.user.as_str()).collect::<Vec<_>>())
        .bind(given.iter().map(|(_, of, _)| of.operation.as_str()).collect::<Vec<_>>())
        .bind(given.iter().map(|(_, of, _)| of.key.as_str()).collect::<Vec<_>>())
        .bind(given.iter().map(|(.., receipt)| Json(receipt)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes receipts older than [`KEPT_DAYS`].
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(include_str!("hand_receipts/purge.sql")).bind(KEPT_DAYS).execute(pool).await?;
    Ok(())
}
