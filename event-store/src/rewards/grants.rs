//! Grants by id, for acknowledgements and operators.

use std::collections::{BTreeSet, HashMap};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Grant, RewardState};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::RewardRow;
use crate::states::undecodable;

/// A grant that a request or an action names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantLookup {
    /// The user's lane.
    pub lane: Lane,
    /// The alleged owner. The grant is not found if it belongs to another user.
    pub user: UserId,
    /// Its id.
    pub grant: Uuid,
}

/// The grants that were found, by user.
pub type FoundGrants = HashMap<UserId, Vec<Grant>>;

/// Loads grants by probes of an index.
pub async fn load(
    lookups: &BTreeSet<GrantLookup>,
    connection: &mut PgConnection,
) -> sqlx::Result<FoundGrants> {
    let mut found = FoundGrants::new();
    if lookups.is_empty() {
        return Ok(found);
    }
    let rows = sqlx::query(include_str!("of_grants.sql"))
        .bind(lookups.iter().map(|lookup| lookup.lane.0).collect::<Vec<_>>())
        .bind(lookups.iter().map(|lookup| lookup.user.as_str()).collect::<Vec<_>>())
        .bind(lookups.iter().map(|lookup| lookup.grant).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for row in &rows {
        let user: String = row.try_get(0)?;
        let Some(RewardRow { reward, state, .. }) = RewardRow::read(row, 1)? else { continue };
        let user = user.try_into().map_err(undecodable)?;
        found.entry(user).or_default().push(Grant { reward, state });
    }
    Ok(found)
}

/// Returns the states of grants, by id. Unknown grants are left out.
pub async fn states(
    grants: &[(Lane, Uuid)],
    connection: &mut PgConnection,
) -> sqlx::Result<HashMap<Uuid, RewardState>> {
    let rows = sqlx::query(include_str!("states_of_grants.sql"))
        .bind(grants.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(grants.iter().map(|(_, grant)| *grant).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, super::state_from(row.try_get(1)?)?))).collect()
}

/// Finds the lane and the user of a grant; `None` if there is no such grant.
pub async fn owner(
    grant: Uuid,
    connection: &mut PgConnection,
) -> sqlx::Result<Option<(Lane, UserId)>> {
    let row =
        sqlx::query(include_str!("grantees.sql")).bind(grant).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let user: String = row.try_get(1)?;
    Ok(Some((Lane(row.try_get(0)?), user.try_into().map_err(undecodable)?)))
}
