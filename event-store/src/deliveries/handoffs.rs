//! `topic_handoffs`: how far the rewards of a lane may be with the broker.
//!
//! A topic whose payer confirms nothing needs no event before a reward is sent: it is delivered
//! once the broker has it. A revocation must still know whether a reward is under way, also after
//! the process that sent it was killed. So the sender stores the place up to which it publishes
//! before it does, under the lane's lock, which a revocation holds as well.

use std::collections::BTreeSet;

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::lanes;
use crate::rewards::RewardPlace;

/// A place up to which the rewards of a lane are about to be published.
#[derive(Debug, Clone, Copy)]
pub struct Handoff {
    /// The lane.
    pub lane: Lane,
    /// The place of the last reward that may be published.
    pub up_to: RewardPlace,
    /// The place that the caller stored before, if it knows it. It is deleted.
    pub before: Option<RewardPlace>,
}

/// Stores the handoffs of those lanes that no other session holds, in the caller's transaction, and
/// returns these lanes. It does not wait: a lane that is locked already would be kept from its
/// writers meanwhile.
pub async fn begin(
    handoffs: &[Handoff],
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeSet<Lane>> {
    let lanes = handoffs.iter().map(|handoff| handoff.lane).collect();
    let free = lanes::lock_free(&lanes, connection).await?;
    let handoffs = || handoffs.iter().filter(|handoff| free.contains(&handoff.lane));
    let in_lanes: Vec<i16> = handoffs().map(|handoff| handoff.lane.0).collect();
    let positions: Vec<i64> = handoffs().map(|handoff| handoff.up_to.position).collect();
    let ordinals: Vec<i32> = handoffs().map(|handoff| handoff.up_to.ordinal).collect();
    sqlx::query(include_str!("begin_handoffs.sql"))
        .bind(&in_lanes)
        .bind(&positions)
        .bind(&ordinals)
        .execute(&mut *connection)
        .await?;
    let from: Vec<_> = handoffs().map(|h| h.before.map(|before| before.position)).collect();
    sqlx::query(include_str!("end_handoffs.sql"))
        .bind(&in_lanes)
        .bind(&positions)
        .bind(&ordinals)
        .bind(from)
        .execute(connection)
        .await?;
    Ok(free)
}

/// Returns the grants among these that wait in the table and may be with the broker already.
pub async fn under_way(
    grants: &BTreeSet<(Lane, Uuid)>,
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeSet<Uuid>> {
    if grants.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found: Vec<Uuid> = sqlx::query_scalar(include_str!("under_way.sql"))
        .bind(grants.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(grants.iter().map(|(_, grant)| *grant).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    Ok(found.into_iter().collect())
}
