//! Loads the rows that a batch needs before it can be decided: one query per kind of row for all
//! items.

use std::collections::{BTreeSet, HashMap, HashSet};

use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use super::decide::{Loaded, LoadedPast, Needed, NeededPast, chunks_needed};
use crate::backfills::{actions, bounds};
use crate::batch::Item;
use crate::deliveries::handoffs;
use crate::error::ExecuteError;
use crate::lanes::Locked;
use crate::rewards::claimable::{self, FoundClaims};
use crate::rewards::grants;
use crate::rewards::waiting;
use crate::states::{self, LoadedState, NeededUsers, RecentUsers, Refold, UserFaults};
use crate::{
    acknowledgements, budgets, hand_receipts, parked, receipts, reversals, seen_actions,
    source_offsets,
};

/// Loads the needed rows, under the locks. Without `recent`, every user is folded from the log.
/// Also returns the users, each with the tasks that were loaded.
pub async fn load(
    items: &[Item],
    mut needed: Needed,
    catalogue: &Catalogue,
    locked: &Locked,
    recent: Option<&RecentUsers>,
    faults: &UserFaults,
    tx: &mut PgConnection,
) -> Result<(Loaded, NeededUsers), ExecuteError> {
    let mut found = claimable::load(&needed.claims, &needed.settled, tx).await?;
    let used = budgets::used(&needed.budgets, tx).await?;
    let places = waiting::places_with_room(catalogue, &needed.budgets, &used);
    let waiting = waiting::load(&needed.waiting, &places, tx).await?;
    let found_grants = grants::load(&needed.grants, tx).await?;
    needed.add_tasks_of(&found, &waiting, &found_grants);
    let found_reversals = reversals::load(&needed.reversals, locked.dedup_window, tx).await?;
    needed.add_tasks_of_reversed(&found_reversals, catalogue);
    let external = locked.heads.iter().filter(|(_, head)| head.external_appends);
    let external: BTreeSet<Lane> = external.map(|(lane, _)| *lane).collect();
    let refold = if recent.is_some() { Refold::Lanes(&external) } else { Refold::All };
    // A claim must not depend on remembered states: lost rows are detected by comparing freshly
    // read ones.
    let claimants = needed.claims.keys().map(|claim| claim.user.clone()).collect();
    let mut states = states::load(&needed.users, refold, recent, &claimants, faults, tx).await?;
    refold_lost_tasks(&needed.users, &found, &mut states, faults, tx).await?;
    let chunks = chunks_needed(items, catalogue, &states);
    states::load_chunks(&chunks, &mut states, faults, tx).await?;
    add_lost_claims(&needed, &mut found, &mut states, faults, tx).await?;
    let seen = seen_actions::known(&needed.identities, locked.dedup_window, tx).await?;
    needed.acknowledgements.retain(|(_, _, identity)| seen.contains(identity));
    let repeated = &needed.acknowledgements;
    let mut loaded = Loaded {
        states,
        ignored_acknowledgements: acknowledgements::ignored(repeated, locked.dedup_window, tx)
            .await?,
        seen,
        offsets: source_offsets::load(&needed.sources, tx).await?,
        receipts: receipts::load(&needed.keys, tx).await?,
        hand_receipts: hand_receipts::load(&needed.requests, tx).await?,
        reversals: found_reversals,
        under_way: BTreeSet::new(),
        claimed: HashMap::new(),
        more_claimable: HashSet::new(),
        budgets: used,
        parked: parked::load(&needed.parked, &locked.heads, &needed.users, tx).await?,
        past: load_past(&needed.past, tx).await?,
    };
    loaded.add_claims(found);
    loaded.add_waiting(waiting);
    loaded.add_grants(found_grants);
    loaded.set_under_way(&handoffs::under_way(&needed.under_way, tx).await?);
    Ok((loaded, needed.users))
}

/// Loads the rows that determine whether past actions count.
async fn load_past(needed: &NeededPast, tx: &mut PgConnection) -> Result<LoadedPast, ExecuteError> {
    if needed.actions.is_empty() {
        return Ok(LoadedPast::default());
    }
    let tasks = needed.actions.iter().map(|(lane, task, _)| (*lane, task.clone())).collect();
    Ok(LoadedPast {
        bounds: bounds::load(&tasks, tx).await?,
        decided: actions::decided(&needed.actions, tx).await?,
        parked: actions::parked(&needed.parked, tx).await?,
        reversed: reversals::reversed(&needed.named, tx).await?,
        counted: HashMap::new(),
    })
}

/// Folds users from the log whose tasks have rewards to claim but no state: rows of `task_view` were
/// lost. A lost task without such rewards looks like one that has not begun; only `verify` finds it.
async fn refold_lost_tasks(
    users: &NeededUsers,
    found: &FoundClaims,
    states: &mut HashMap<UserId, LoadedState>,
    faults: &UserFaults,
    tx: &mut PgConnection,
) -> Result<(), ExecuteError> {
    let lost: Vec<_> = found.lost_tasks(users, states).collect();
    for (lane, user) in lost {
        tracing::error!(%lane, %user, "`task_view` lacks a task of a user; folding the user from the log");
        if let Some(loaded) = states.get_mut(&user) {
            states::refold(lane, &user, loaded, faults, tx).await?;
        }
    }
    Ok(())
}

/// Adds from the log the rows that claims need and that `reward_state` lacks, because it is behind
/// or rows were lost.
async fn add_lost_claims(
    needed: &Needed,
    found: &mut FoundClaims,
    states: &mut HashMap<UserId, LoadedState>,
    faults: &UserFaults,
    tx: &mut PgConnection,
) -> Result<(), ExecuteError> {
    let lost = found.lost_rows(&needed.claims, states, tx).await?;
    for (lane, user) in &lost {
        tracing::error!(%lane, %user, "`reward_state` lacks rewards of a user; folding the user from the log");
        if let Some(loaded) = states.get_mut(user) {
            states::refold(*lane, user, loaded, faults, tx).await?;
        }
    }
    let claimants: BTreeSet<_> =
        needed.claims.keys().map(|claim| (claim.lane, &claim.user)).collect();
    for (lane, user) in claimants {
        if states.get(user).is_some_and(|loaded| loaded.refolded) {
            found.add_receipts_of_log(lane, user, tx).await?;
        }
    }
    Ok(())
}
