//! One reward line by the id of its grant.

use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{COLUMNS, RewardRow};

/// A reward line, with its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundGrant {
    /// Where its user lies.
    pub lane: Lane,
    /// The user, as stored.
    pub user: String,
    /// The line.
    pub row: RewardRow,
}

/// Looks for a grant in every lane: its id does not tell the user.
pub async fn find(grant: Uuid, connection: &mut PgConnection) -> sqlx::Result<Option<FoundGrant>> {
    let sql = format!(
        "select lane, user_id, {COLUMNS} from lane_numbers join reward_state using (lane) where grant_id = $1"
    );
    let Some(row) = sqlx::query(&sql).bind(grant).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let (lane, user) = (Lane(row.try_get(0)?), row.try_get(1)?);
    Ok(RewardRow::read(&row, 2)?.map(|row| FoundGrant { lane, user, row }))
}

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
        "select {COLUMNS} from reward_state where lane = $1 and grant_id = any($2)
         order by granted_position, ordinal"
    );
    let rows = sqlx::query(&sql).bind(lane.0).bind(grants).fetch_all(connection).await?;
    rows.iter().filter_map(|row| RewardRow::read(row, 0).transpose()).collect()
}
