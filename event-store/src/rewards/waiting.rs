//! Rewards that wait for a budget, by user.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use plaudit_domain::calendar::Period;
use plaudit_domain::catalogue::{Catalogue, WaitingPlace};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::WaitingMilestone;
use sqlx::{PgConnection, Row};

use super::RewardRow;
use crate::budgets;
use crate::states::{undecodable, unless_unreadable};

/// The maximum number of milestones of a user that one transaction grants, or revokes from. The
/// sweeper returns for the rest.
pub(crate) const WAITING_MAX: i64 = 100;

/// The maximum number of waiting users per sweep: of a lane, and of all lanes.
const PER_LANE_MAX: i64 = 200;
const USERS_MAX: i64 = 5_000;

/// The minimum number of users, even if the budgets hold less: the first reward may not fit while
/// later ones do.
const USERS_MIN: i64 = 100;

/// The waiting milestones of users, by task.
pub(crate) type FoundWaiting = HashMap<UserId, BTreeMap<TaskId, Vec<WaitingMilestone>>>;

/// Loads the waiting milestones of these users, each up to the given number.
pub(crate) async fn load(
    of: &BTreeMap<(Lane, UserId), i64>,
    connection: &mut PgConnection,
) -> sqlx::Result<FoundWaiting> {
    let mut found = FoundWaiting::new();
    if of.is_empty() {
        return Ok(found);
    }
    let users: Vec<&UserId> = of.keys().map(|(_, user)| user).collect();
    let rows = sqlx::query(include_str!("waiting_of_users.sql"))
        .bind(of.keys().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(users.iter().map(|user| user.as_str()).collect::<Vec<_>>())
        .bind((0..).take(users.len()).collect::<Vec<i64>>())
        .bind(of.values().copied().collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for row in rows {
        let place = usize::try_from(row.try_get::<i64, _>(0)?).map_err(undecodable)?;
        let (Some(user), Some(line)) = (users.get(place), RewardRow::read(&row, 1)?) else {
            continue;
        };
        let reward = line.reward;
        let of_user = found.entry((*user).clone()).or_default();
        let of_task = of_user.entry(reward.task.clone()).or_default();
        let is_it =
            |w: &&mut WaitingMilestone| w.period.key == reward.period && w.at == reward.milestone;
        match of_task.iter_mut().find(is_it) {
            Some(waiting) => waiting.rewards.push(reward),
            None => of_task.push(WaitingMilestone {
                period: Period {
                    key: reward.period.clone(),
                    starts_at: line.starts_at,
                    ends_at: line.ends_at,
                },
                at: reward.milestone,
                version: reward.version,
                reached_at: reward.reached_at,
                rewards: vec![reward],
            }),
        }
    }
    Ok(found)
}

/// Returns users who wait for budgets that are not used up, in the order in which they reached
/// their milestones.
pub(crate) async fn users_in_front(
    catalogue: &Catalogue,
    as_of: Timestamp,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<(Lane, UserId)>> {
    let keys: BTreeSet<_> = catalogue.budgets_waited_for(as_of).collect();
    if keys.is_empty() {
        return Ok(vec![]);
    }
    let totals = budgets::used(&keys, connection).await?;
    let left: BTreeMap<_, _> = keys
        .iter()
        .filter_map(|key| {
            let limit = catalogue.budget(&key.budget)?.budget.limit;
            Some((&key.budget, limit.saturating_sub(totals.of(key)))).filter(|(_, left)| *left > 0)
        })
        .collect();
    let may_be_granted =
        |place: &&WaitingPlace| place.budgets.iter().any(|id| left.contains_key(id));
    let places: Vec<_> = catalogue.waiting_places().iter().filter(may_be_granted).collect();
    if places.is_empty() {
        return Ok(vec![]);
    }
    let left = left.values().fold(0_i64, |sum, left| sum.saturating_add(*left));
    let rows = sqlx::query(include_str!("waiting_users.sql"))
        .bind(places.iter().map(|place| place.task.as_str()).collect::<Vec<_>>())
        .bind(places.iter().map(|place| place.milestone).collect::<Vec<_>>())
        .bind(PER_LANE_MAX)
        .bind(left.clamp(USERS_MIN, USERS_MAX))
        .fetch_all(connection)
        .await?;
    let user = |row: &sqlx::postgres::PgRow| {
        let user: String = row.try_get(1)?;
        Ok((Lane(row.try_get(0)?), UserId::try_from(user).map_err(undecodable)?))
    };
    Ok(rows.iter().filter_map(|row| unless_unreadable(user(row), "reward_state")).collect())
}
