//! The cost of the database alone: the statements of a batch with prepared content and no rules.
//! Used only by a benchmark that compares the executor with it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use plaudit_domain::lane::Lane;
use sqlx::PgPool;
use uuid::Uuid;

use crate::batch::{BatchProjection, Changes};
use crate::error::ExecuteError;
use crate::lanes::{LaneWait, LockOutcome};
use crate::seen_actions::NewlySeen;
use crate::source_offsets::SourceKey;
use crate::{lanes, log, rewards, seen_actions, source_offsets, states};

/// Time limit for waiting for the lanes.
const LANE_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// A batch with prepared content.
pub struct Synthetic {
    /// Events and states. Positions and sequences must continue those in the database.
    pub changes: Changes,
    /// One identity per action.
    pub identities: Vec<(Lane, Uuid)>,
    /// The offset that each lane moves to.
    pub next_offset: i64,
}

/// Sends the statements of a batch in one transaction.
pub async fn write(
    pool: &PgPool,
    batch: &Synthetic,
    projections: &[Arc<dyn BatchProjection>],
) -> Result<(), ExecuteError> {
    let users: states::NeededUsers =
        batch.changes.users.iter().map(|u| ((u.lane, u.user.clone()), u.touched.clone())).collect();
    let in_lanes: BTreeSet<Lane> = users.keys().map(|(lane, _)| *lane).collect();
    let key = SourceKey { topic: "floor".into(), incarnation: 0, partition: 0 };
    let keys: HashSet<_> = in_lanes.iter().map(|lane| (*lane, key.clone())).collect();
    let mut tx = pool.begin_with(crate::pool::BEGIN_PROBING).await?;
    let locked = match lanes::lock(&in_lanes, LaneWait::UpTo(LANE_WAIT), &mut tx).await? {
        LockOutcome::Locked(locked) => locked,
        LockOutcome::Busy(contention) => return Err(ExecuteError::LanesBusy(contention)),
    };
    let (none, faults) = (BTreeSet::new(), states::UserFaults::default());
    let refold = states::Refold::Lanes(&none);
    states::load(&users, refold, None, &BTreeSet::new(), &faults, &mut tx).await?;
    seen_actions::known(&batch.identities, locked.dedup_window, &mut tx).await?;
    source_offsets::load(&keys, &mut tx).await?;
    log::append(&batch.changes.events, &mut tx).await?;
    states::save(&batch.changes, &mut tx).await?;
    rewards::save(&batch.changes, &mut tx).await?;
    let seen = |(lane, identity): &(Lane, Uuid)| NewlySeen {
        lane: *lane,
        identity: *identity,
        sequence: None,
    };
    let seen: Vec<NewlySeen> = batch.identities.iter().map(seen).collect();
    seen_actions::remember(&seen, locked.dedup_window, &mut tx).await?;
    let moved: HashMap<_, _> = keys.into_iter().map(|at| (at, batch.next_offset)).collect();
    source_offsets::advance(&moved, &mut tx).await?;
    for projection in projections {
        projection.apply(&batch.changes, &mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}
