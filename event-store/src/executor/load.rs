//! Loading what a batch needs before it can decide: each kind of row with one query for all items.

use std::collections::{BTreeSet, HashMap};

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use super::decide::{Loaded, Needed};
use crate::error::ExecuteError;
use crate::lanes::Locked;
use crate::rewards::claimable::{self, FoundClaims};
use crate::rewards::grants;
use crate::rewards::waiting::{self, FoundWaiting};
use crate::states::{self, LoadedState, Verify};
use crate::{budgets, parked, receipts, seen_actions, source_offsets};

/// Loads it, under the locks. `verify_all` folds every user from the log.
pub async fn load(
    mut needed: Needed,
    locked: &Locked,
    verify_all: bool,
    tx: &mut PgConnection,
) -> Result<Loaded, ExecuteError> {
    let mut found = claimable::load(&needed.claims, &needed.settled, tx).await?;
    let waiting = if needed.may_wait {
        waiting::load(&needed.settled, tx).await?
    } else {
        FoundWaiting::new()
    };
    let found_grants = grants::load(&needed.grants, tx).await?;
    needed.add_tasks_of(&found, &waiting, &found_grants);
    let external = locked.heads.iter().filter(|(_, head)| head.external_appends);
    let external: BTreeSet<Lane> = external.map(|(lane, _)| *lane).collect();
    let verify = if verify_all { Verify::All } else { Verify::Lanes(&external) };
    let mut states = states::load(&needed.users, verify, tx).await?;
    add_lost_claims(&needed, &mut found, &mut states, tx).await?;
    let mut loaded = Loaded {
        states,
        seen: seen_actions::known(&needed.identities, locked.dedup_window, tx).await?,
        offsets: source_offsets::load(&needed.sources, tx).await?,
        receipts: receipts::load(&needed.keys, tx).await?,
        claimed: HashMap::new(),
        budgets: budgets::used(&needed.budgets, tx).await?,
        parked: parked::load(&needed.parked, &locked.heads, &needed.users, tx).await?,
    };
    loaded.add_claims(found);
    loaded.add_waiting(waiting);
    loaded.add_grants(found_grants);
    Ok(loaded)
}

/// Adds from the log what claims ask for and the rows of rewards lack, because they are behind or lost.
async fn add_lost_claims(
    needed: &Needed,
    found: &mut FoundClaims,
    states: &mut HashMap<UserId, LoadedState>,
    tx: &mut PgConnection,
) -> Result<(), ExecuteError> {
    let lost: Vec<_> = found.lost_rows(&needed.claims, states).collect();
    for (lane, user) in &lost {
        tracing::error!(%lane, %user, "`reward_state` lacks rewards of a user; folding the user from the log");
        if let Some(loaded) = states.get_mut(user) {
            states::refold(*lane, user, loaded, tx).await?;
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
