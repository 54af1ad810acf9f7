//! `seen_actions`: the identities of actions that were decided, kept for at least seven days.

pub mod windows;

use std::collections::{BTreeSet, HashSet};

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

/// Which of these identities are known in the dedup window that is open, or in the one before.
pub async fn known(
    identities: &[(Lane, Uuid)],
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    if identities.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<Uuid> = sqlx::query_scalar(include_str!("seen_actions/probe.sql"))
        .bind(identities.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(identities.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind(window)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// As [`known`], by the dedup window that is open now. For readers that hold no lane.
pub async fn known_now(
    identities: &[(Lane, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    let window: i32 =
        sqlx::query_scalar("select current from dedup_window").fetch_one(&mut *connection).await?;
    known(identities, window, connection).await
}

/// Remembers identities in the dedup window that is open, known or not: they were judged once more.
pub async fn remember_again(
    identities: &BTreeSet<(Lane, Uuid)>,
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if identities.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into seen_actions (lane, dedup_window, identity)
         select a.lane, $3, a.identity from unnest($1::smallint[], $2::uuid[]) a (lane, identity)
         on conflict do nothing",
    )
    .bind(identities.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
    .bind(identities.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .bind(window)
    .execute(connection)
    .await?;
    Ok(())
}

/// Remembers identities in the dedup window that is open.
pub async fn remember(
    identities: &[(Lane, Uuid)],
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if identities.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into seen_actions (lane, dedup_window, identity)
         select a.lane, $3, a.identity from unnest($1::smallint[], $2::uuid[]) a (lane, identity)",
    )
    .bind(identities.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
    .bind(identities.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .bind(window)
    .execute(connection)
    .await?;
    Ok(())
}
