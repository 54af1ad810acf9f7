//! The views that are folded in the transaction of each batch.

use std::collections::BTreeMap;

use async_trait::async_trait;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::batch::{BatchProjection, ChangedUser, Changes};
use sqlx::PgConnection;

use crate::fold::{self, Wanted};
use crate::reward_state::{self, Ledger};
use crate::task_view;

/// `task_view`, `user_view` and `reward_state`: they are never behind the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct CoreViews;

#[async_trait]
impl BatchProjection for CoreViews {
    async fn apply(&self, changes: &Changes, connection: &mut PgConnection) -> sqlx::Result<()> {
        let refolded: Vec<_> = changes.users.iter().filter(|user| user.refolded).collect();
        if !refolded.is_empty() {
            task_view::delete(&refolded, connection).await?;
        }
        task_view::write_tasks(&changes.users, connection).await?;
        task_view::write_zones(&changes.users, connection).await?;
        write_rewards(changes, &refolded, connection).await
    }
}

/// Writes what became of rewards: of refolded users all of them, from the log, to which the events
/// of the batch already belong.
async fn write_rewards(
    changes: &Changes,
    refolded: &[&ChangedUser],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut ledgers: BTreeMap<(Lane, &UserId), Ledger> = BTreeMap::new();
    for new in &changes.events {
        if !refolded.iter().any(|user| user.user == new.user) {
            let ledger = ledgers.entry((new.lane, &new.user)).or_default();
            ledger.record(&new.event, new.position);
        }
    }
    for user in refolded {
        let name = [user.user.as_str()];
        let folded = fold::users(user.lane, &name, Wanted::Rewards, connection).await?;
        for folded in folded.users {
            ledgers.insert((user.lane, &user.user), folded.ledger);
        }
    }
    if !refolded.is_empty() {
        let lanes: Vec<i16> = refolded.iter().map(|user| user.lane.0).collect();
        let names: Vec<&str> = refolded.iter().map(|user| user.user.as_str()).collect();
        reward_state::delete(&lanes, &names, connection).await?;
    }
    // States before grants: what a batch moved before it was granted it did not move.
    let moved = ledgers.iter().flat_map(|((lane, _), ledger)| {
        ledger.moved.iter().map(|(grant, state)| (*lane, *grant, *state))
    });
    reward_state::move_states(&moved.collect::<Vec<_>>(), connection).await?;
    let granted = ledgers
        .iter()
        .flat_map(|((lane, user), ledger)| ledger.granted.iter().map(|row| (*lane, *user, row)));
    reward_state::insert(&granted.collect::<Vec<_>>(), connection).await
}
