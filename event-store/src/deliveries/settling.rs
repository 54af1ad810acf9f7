//! The ends of deliveries: answers of payers, and deliveries given up.

use std::collections::BTreeSet;

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{DeliveryState, Due};
use crate::text::without_nul;

/// The final outcome of a grant's delivery to the payer.
#[derive(Debug, Clone)]
pub struct Settled {
    /// The user's lane.
    pub lane: Lane,
    /// The grant.
    pub grant: Uuid,
    /// The final state.
    pub state: DeliveryState,
    /// The reason of the failure.
    pub reason: Option<String>,
    /// True if an action reported it, for a grant whose payer is reached by a webhook. The action
    /// may come from a consumer of the topic that confirmed its copy, so a webhook that was never
    /// sent is still sent.
    pub may_be_of_a_copy: bool,
}

/// A delivery past its time limit.
#[derive(Debug, Clone)]
pub struct GivenUp {
    /// The user's lane.
    pub lane: Lane,
    /// The grant.
    pub grant: Uuid,
    /// The channel.
    pub channel: String,
    /// The resulting state.
    pub state: DeliveryState,
    /// The reason of the failure.
    pub reason: Option<String>,
}

/// An acknowledgement of a reward that was already delivered.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// The user's lane.
    pub lane: Lane,
    /// The grant.
    pub grant: Uuid,
    /// True if the payer says that it paid.
    pub is_delivered: bool,
}

/// Stores the answers of payers on the deliveries that lead to them. For revoked grants, also ends
/// waiting copies.
pub async fn settle(settled: &[Settled], connection: &mut PgConnection) -> sqlx::Result<()> {
    if settled.is_empty() {
        return Ok(());
    }
    let is_delivered = |s: &&Settled| s.may_be_of_a_copy && s.state == DeliveryState::Delivered;
    let of_copies: Vec<&Settled> = settled.iter().filter(is_delivered).collect();
    if !of_copies.is_empty() {
        sqlx::query(include_str!("acknowledge.sql"))
            .bind(of_copies.iter().map(|s| s.lane.0).collect::<Vec<_>>())
            .bind(of_copies.iter().map(|s| s.grant).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query(include_str!("settle.sql"))
        .bind(settled.iter().map(|s| s.lane.0).collect::<Vec<_>>())
        .bind(settled.iter().map(|s| s.grant).collect::<Vec<_>>())
        .bind(settled.iter().map(|s| s.state.as_str()).collect::<Vec<_>>())
        .bind(settled.iter().map(|s| s.reason.as_deref().map(without_nul)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends redeliveries of rewards that were already delivered, by the answers of their payers. No
/// event records this, because such a reward stays delivered.
pub async fn acknowledge_again(
    acknowledged: &[Acknowledged],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if acknowledged.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("acknowledge_again.sql"))
        .bind(acknowledged.iter().map(|a| a.lane.0).collect::<Vec<_>>())
        .bind(acknowledged.iter().map(|a| a.grant).collect::<Vec<_>>())
        .bind(acknowledged.iter().map(|a| a.is_delivered).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives up overdue deliveries. Skips those no longer overdue.
pub async fn give_up(given_up: &[GivenUp], connection: &mut PgConnection) -> sqlx::Result<()> {
    if given_up.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("give_up.sql"))
        .bind(given_up.iter().map(|g| g.lane.0).collect::<Vec<_>>())
        .bind(given_up.iter().map(|g| g.grant).collect::<Vec<_>>())
        .bind(given_up.iter().map(|g| g.channel.as_str()).collect::<Vec<_>>())
        .bind(given_up.iter().map(|g| g.state.as_str()).collect::<Vec<_>>())
        .bind(given_up.iter().map(|g| g.reason.as_deref().map(without_nul)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the grants among these whose deliveries still lead to the payer and were not queued
/// again since the read.
pub async fn still_current(
    due: &[&Due],
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeSet<Uuid>> {
    let grants: Vec<Uuid> = sqlx::query_scalar(include_str!("still_current.sql"))
        .bind(due.iter().map(|due| due.lane.0).collect::<Vec<_>>())
        .bind(due.iter().map(|due| due.reward.grant).collect::<Vec<_>>())
        .bind(due.iter().map(|due| due.channel.as_str()).collect::<Vec<_>>())
        .bind(due.iter().map(|due| due.redeliveries).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(grants.into_iter().collect())
}
