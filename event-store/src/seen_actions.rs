//! `seen_actions`: the identities of decided actions, kept for at least seven days.

pub mod windows;

use std::collections::{BTreeSet, HashMap, HashSet};

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

/// Returns the identities known in the open dedup window or the one before.
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

/// Like [`known`], with the dedup window that is open now. For readers that hold no lane.
pub async fn known_now(
    identities: &[(Lane, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashSet<Uuid>> {
    let window: i32 =
        sqlx::query_scalar("select current from dedup_window").fetch_one(&mut *connection).await?;
    known(identities, window, connection).await
}

/// Stores identities of actions decided once more in the open dedup window. They may be known
/// already.
pub async fn remember_again(
    identities: &BTreeSet<(Lane, Uuid)>,
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if identities.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("seen_actions/remember_again.sql"))
        .bind(identities.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(identities.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind(window)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the sequence of the first event of each action. Actions without events, and actions no
/// longer known, are left out.
pub async fn first_events(
    identities: &[(Lane, Uuid)],
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<Uuid, i64>> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(include_str!("seen_actions/first_events.sql"))
        .bind(identities.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(identities.iter().map(|(_, id)| *id).collect::<Vec<_>>())
        .bind(window)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().collect())
}

/// An identity to store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewlySeen {
    /// The user's lane.
    pub lane: Lane,
    /// The identity of an action or of a redelivery, or the marker of a reversal.
    pub identity: Uuid,
    /// The sequence of the action's first event in its user's stream. A reversal finds the events
    /// of the action by it. `None` without events.
    pub sequence: Option<i64>,
}

/// Stores new identities in the open dedup window.
pub async fn remember(
    seen: &[NewlySeen],
    window: i32,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("seen_actions/remember.sql"))
        .bind(seen.iter().map(|seen| seen.lane.0).collect::<Vec<_>>())
        .bind(seen.iter().map(|seen| seen.identity).collect::<Vec<_>>())
        .bind(window)
        .bind(seen.iter().map(|seen| seen.sequence).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}
