//! Reward lines by the ids of their grants.

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{COLUMNS, RewardRow};
use crate::states::{undecodable, unless_unreadable};

/// Loads reward lines of a lane, in the order in which they were granted.
pub async fn of_lane(
    lane: Lane,
    grants: &[Uuid],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<RewardRow>> {
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select {COLUMNS} from unnest($2::uuid[]) w (requested)
         cross join lateral (
             select * from reward_state where lane = $1 and grant_id >= w.requested order by grant_id limit 1
         ) r
         where r.grant_id = w.requested
         order by granted_position, ordinal"
    );
    let rows = sqlx::query(&sql).bind(lane.0).bind(grants).fetch_all(connection).await?;
    rows.iter().filter_map(|row| RewardRow::read(row, 0).transpose()).collect()
}

/// Loads reward lines from any lane, each with its user. Unknown grants are left out. Probes every
/// lane for each grant.
pub async fn of_any_lane(
    grants: &[Uuid],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<(UserId, RewardRow)>> {
    let sql = format!(
        "select user_id, {COLUMNS} from unnest($1::uuid[]) w (requested)
         cross join lanes l
         cross join lateral (
             select * from reward_state
             where lane = l.lane and grant_id >= w.requested order by grant_id limit 1
         ) r
         where r.grant_id = w.requested"
    );
    let rows = sqlx::query(&sql).bind(grants).fetch_all(connection).await?;
    let reward = |row: &PgRow| {
        let user: String = row.try_get(0)?;
        let user = user.try_into().map_err(undecodable)?;
        Ok(RewardRow::read(row, 1)?.map(|row| (user, row)))
    };
    Ok(rows.iter().filter_map(|row| unless_unreadable(reward(row), "reward_state")?).collect())
}
