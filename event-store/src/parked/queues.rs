//! The parked records that block users of a batch.

use std::collections::{BTreeMap, HashMap, VecDeque};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::lanes::LaneHead;
use crate::states::NeededUsers;

/// The parked records that block users, in order, and the records that a batch releases or
/// discards.
#[derive(Debug, Default)]
pub(crate) struct ParkedQueues {
    by_user: HashMap<UserId, VecDeque<Uuid>>,
    /// The records of the batch that are still parked; true if later actions wait behind them.
    unresolved: HashMap<Uuid, bool>,
}

impl ParkedQueues {
    /// The first record that blocks a user's actions.
    pub fn first_of(&self, user: &UserId) -> Option<Uuid> {
        self.by_user.get(user)?.front().copied()
    }

    /// Looks up a record to be released or discarded: `Some(true)` if later actions wait behind it,
    /// `None` if it is not parked.
    pub fn unresolved(&self, id: Uuid) -> Option<bool> {
        self.unresolved.get(&id).copied()
    }

    /// Adds a record that blocks the user's actions from now on.
    pub fn add(&mut self, user: &UserId, id: Uuid) {
        let queue = self.by_user.entry(user.clone()).or_default();
        if !queue.contains(&id) {
            queue.push_back(id);
        }
    }

    /// Removes a record that is no longer parked.
    pub fn remove(&mut self, user: Option<&UserId>, id: Uuid) {
        self.unresolved.remove(&id);
        if let Some(queue) = user.and_then(|user| self.by_user.get_mut(user)) {
            queue.retain(|waiting| *waiting != id);
        }
    }
}

/// Loads the records to release or discard, and those that block users of the batch. Runs no query
/// if there is neither.
pub(crate) async fn load(
    resolved: &[(Lane, Uuid)],
    heads: &BTreeMap<Lane, LaneHead>,
    users: &NeededUsers,
    connection: &mut PgConnection,
) -> sqlx::Result<ParkedQueues> {
    let mut queues = ParkedQueues::default();
    if !resolved.is_empty() {
        let rows: Vec<(Uuid, bool)> = sqlx::query_as(include_str!("unresolved.sql"))
            .bind(resolved.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
            .bind(resolved.iter().map(|(_, id)| *id).collect::<Vec<_>>())
            .fetch_all(&mut *connection)
            .await?;
        queues.unresolved.extend(rows);
    }
    let is_blocking = |lane: &Lane| heads.get(lane).is_some_and(|head| head.parked_blocking);
    let asked: Vec<_> = users.keys().filter(|(lane, _)| is_blocking(lane)).collect();
    if asked.is_empty() {
        return Ok(queues);
    }
    // One more than can be released, so that a queue never looks empty while it is not.
    let limit = i64::try_from(resolved.len()).unwrap_or(i64::MAX).saturating_add(1);
    let rows: Vec<(i64, Uuid)> = sqlx::query_as(include_str!("queues.sql"))
        .bind(asked.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, user)| user.as_str()).collect::<Vec<_>>())
        .bind(limit)
        .fetch_all(connection)
        .await?;
    for (place, id) in rows {
        let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
        if let Some((_, user)) = asked.get(index) {
            queues.add(user, id);
        }
    }
    Ok(queues)
}
