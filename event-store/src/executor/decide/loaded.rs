//! The rows that were loaded for a batch.

use std::collections::{HashMap, HashSet};

use plaudit_domain::catalogue::BudgetsUsed;
use plaudit_domain::ids::{TaskId, UserId};
use uuid::Uuid;

use crate::acknowledgements::IgnoredAcknowledgements;
use crate::backfills::bounds::Bounds;
use crate::batch::{ClaimKey, HandReceipt, Receipt, RequestKey};
use crate::parked::ParkedQueues;
use crate::reversals::FoundReversals;
use crate::rewards::claimable::{FoundClaims, MilestoneKey};
use crate::rewards::grants::FoundGrants;
use crate::source_offsets::LaneOffsets;
use crate::states::LoadedState;

/// The loaded rows.
pub struct Loaded {
    pub states: HashMap<UserId, LoadedState>,
    pub seen: HashSet<Uuid>,
    pub offsets: LaneOffsets,
    pub receipts: HashMap<ClaimKey, Vec<Receipt>>,
    pub hand_receipts: HashMap<RequestKey, HandReceipt>,
    /// The facts of actions that are to be taken back.
    pub reversals: FoundReversals,
    pub ignored_acknowledgements: IgnoredAcknowledgements,
    /// The receipts of milestones that claims name and that were claimed before.
    pub claimed: HashMap<MilestoneKey, Receipt>,
    /// Users who may have more to claim than was loaded.
    pub more_claimable: HashSet<UserId>,
    /// The amounts granted of the budgets.
    pub budgets: BudgetsUsed,
    /// Parked records that block users, and those to resolve.
    pub parked: ParkedQueues,
    pub past: LoadedPast,
}

/// The rows loaded for past actions.
#[derive(Default)]
pub struct LoadedPast {
    /// The end of the past of each task.
    pub bounds: Bounds,
    /// The actions that tasks have decided before.
    pub judged: HashSet<(TaskId, Uuid)>,
    /// Parked records that keep an action from being counted.
    pub parked: HashSet<Uuid>,
}

impl Loaded {
    /// Puts what was found for claims into the states. A state that was folded from the log has all of it.
    pub fn add_claims(&mut self, found: FoundClaims) {
        for (user, tasks) in found.claimable {
            let Some(loaded) = self.states.get_mut(&user).filter(|loaded| !loaded.refolded) else {
                continue;
            };
            for (task, claimable) in tasks {
                if let Some(past) = loaded.state.tasks.get_mut(&task) {
                    past.claimable = claimable;
                }
            }
        }
        self.claimed = found.receipts;
        self.more_claimable = found.more;
    }

    /// Puts the grants that were asked for into the states.
    pub fn add_grants(&mut self, found: FoundGrants) {
        for (user, grants) in found {
            if let Some(loaded) = self.states.get_mut(&user).filter(|loaded| !loaded.refolded) {
                let by_id = grants.into_iter().map(|grant| (grant.reward.grant, grant));
                loaded.state.grants.extend(by_id);
            }
        }
    }
}
