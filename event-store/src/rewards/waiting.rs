//! Rewards that wait for a budget, by user.

mod in_front;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plaudit_domain::calendar::Period;
use plaudit_domain::catalogue::{BudgetKey, BudgetsUsed, Catalogue, WaitingPlace};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::WaitingMilestone;
use sqlx::{PgConnection, Row};

pub(crate) use in_front::{Page, WaitingPages};

use super::RewardRow;
use crate::states::undecodable;

/// The maximum number of milestones of a user that one transaction grants, or revokes from. The
/// sweeper returns for the rest.
pub(crate) const WAITING_MAX: i64 = 100;

/// The waiting milestones of a user to load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WaitingDemand {
    /// The maximum number of milestones.
    pub count: i64,
    /// True to load those that can't be granted too, because they may be revoked.
    pub of_any_place: bool,
}

/// The waiting milestones of users, by task.
pub(crate) type FoundWaiting = HashMap<UserId, BTreeMap<TaskId, Vec<WaitingMilestone>>>;

/// The tasks and milestones that wait for one of these budget windows and of which it has something
/// left.
pub(crate) fn places_with_room<'c>(
    catalogue: &'c Catalogue,
    keys: &BTreeSet<BudgetKey>,
    used: &BudgetsUsed,
) -> Vec<&'c WaitingPlace> {
    let has_room = |key: &&BudgetKey| {
        catalogue.budget(&key.budget).is_some_and(|found| found.budget.limit > used.of(key))
    };
    let with_room: BTreeSet<_> = keys.iter().filter(has_room).map(|key| &key.budget).collect();
    let places = catalogue.waiting_places().iter();
    places.filter(|place| place.budgets.iter().any(|id| with_room.contains(id))).collect()
}

/// Loads the waiting milestones of these users: those of the `places`, unless a user needs them all.
pub(crate) async fn load(
    of: &BTreeMap<(Lane, UserId), WaitingDemand>,
    places: &[&WaitingPlace],
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
        .bind(of.values().map(|demand| demand.count).collect::<Vec<_>>())
        .bind(of.values().map(|demand| demand.of_any_place).collect::<Vec<_>>())
        .bind(places.iter().map(|place| place.task.as_str()).collect::<Vec<_>>())
        .bind(places.iter().map(|place| place.milestone).collect::<Vec<_>>())
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
