//! `claim_keys`: the receipts of claims with an idempotency key.

use std::collections::HashMap;

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::batch::{ClaimKey, Receipt};

/// Loads the receipts stored under these idempotency keys.
pub async fn load(
    requested: &[(Lane, ClaimKey)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<ClaimKey, Vec<Receipt>>> {
    if requested.is_empty() {
        return Ok(HashMap::new());
    }
    let in_lanes: Vec<i16> = requested.iter().map(|(lane, _)| lane.0).collect();
    let users: Vec<&str> = requested.iter().map(|(_, of)| of.user.as_str()).collect();
    let tasks: Vec<&str> = requested.iter().map(|(_, of)| of.task_text()).collect();
    let keys: Vec<&str> = requested.iter().map(|(_, of)| of.key.as_str()).collect();
    let rows: Vec<(i64, Json<Vec<Receipt>>)> = sqlx::query_as(include_str!("receipts/load.sql"))
        .bind(&in_lanes)
        .bind(&users)
        .bind(&tasks)
        .bind(&keys)
        .fetch_all(connection)
        .await?;
    // `with ordinality` counts from 1.
    let of = |place: i64| requested.get(usize::try_from(place - 1).ok()?);
    let found = rows
        .into_iter()
        .filter_map(|(place, Json(receipts))| of(place).map(|(_, of)| (of.clone(), receipts)));
    Ok(found.collect())
}

/// Stores receipts by idempotency key.
pub async fn insert(
    given: &[(Lane, ClaimKey, Vec<Receipt>)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for (lane, of, receipts) in given {
        sqlx::query(include_str!("receipts/insert.sql"))
            .bind(lane.0)
            .bind(of.user.as_str())
            .bind(of.task_text())
            .bind(&of.key)
            .bind(sqlx::types::Json(receipts))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
