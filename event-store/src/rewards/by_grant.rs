//! Reward lines by the ids of their grants.

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{COLUMNS, RewardRow};

/// Some reward lines of a lane, in the order in which they were earned.
pub async fn of_lane(
    lane: Lane,
    grants: &[Uuid],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<RewardRow>> {
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select {COLUMNS} from unnest($2::uuid[]) w (wanted)
         cross join lateral (
             select * from reward_state where lane = $1 and grant_id >= w.wanted order by grant_id limit 1
         ) r
         where r.grant_id = w.wanted
         order by granted_position, ordinal"
    );
    let rows = sqlx::query(&sql).bind(lane.0).bind(grants).fetch_all(connection).await?;
    rows.iter().filter_map(|row| RewardRow::read(row, 0).transpose()).collect()
}
