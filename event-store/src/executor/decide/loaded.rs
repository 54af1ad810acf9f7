//! The rows loaded for a batch.

use std::collections::{BTreeSet, HashMap, HashSet};

use plaudit_domain::catalogue::BudgetsUsed;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::{Event, RewardState};
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

/// The rows loaded for a batch.
pub struct Loaded {
    pub states: HashMap<UserId, LoadedState>,
    pub seen: HashSet<Uuid>,
    pub offsets: LaneOffsets,
    pub receipts: HashMap<ClaimKey, Vec<Receipt>>,
    pub hand_receipts: HashMap<RequestKey, HandReceipt>,
    /// The events of actions that are to be reversed.
    pub reversals: FoundReversals,
    pub ignored_acknowledgements: IgnoredAcknowledgements,
    /// The receipts of already claimed milestones that claims name.
    pub claimed: HashMap<MilestoneKey, Receipt>,
    /// Users who may have more to claim than was loaded.
    pub more_claimable: HashSet<UserId>,
    /// The amounts granted from the budgets.
    pub budgets: BudgetsUsed,
    /// Parked records that block users, and parked records to resolve.
    pub parked: ParkedQueues,
    pub past: LoadedPast,
    /// Claimed grants that may be with the broker already, although no event says so.
    pub under_way: BTreeSet<Uuid>,
}

/// The rows loaded for past actions.
#[derive(Default)]
pub struct LoadedPast {
    /// The boundary between past and live, by lane and task.
    pub bounds: Bounds,
    /// The actions that tasks have decided before.
    pub decided: HashSet<(TaskId, Uuid)>,
    /// Parked records that keep an action from being counted.
    pub parked: HashSet<Uuid>,
    /// Actions that were taken back, by reversals of this batch too.
    pub reversed: HashSet<Uuid>,
    /// The events of the past actions counted in this batch, by identity of the action.
    pub counted: HashMap<Uuid, Vec<Event>>,
}

impl Loaded {
    /// Adds the milestones found for claims to the states. A refolded state already has all of
    /// them.
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

    /// Marks claimed grants that may be with the broker already as being delivered.
    pub fn set_under_way(&mut self, under_way: &BTreeSet<Uuid>) {
        if under_way.is_empty() {
            return;
        }
        for grant in self.states.values_mut().flat_map(|loaded| loaded.state.grants.values_mut()) {
            if grant.state == RewardState::Claimed && under_way.contains(&grant.reward.grant) {
                grant.state = RewardState::Delivering;
                self.under_way.insert(grant.reward.grant);
            }
        }
    }

    /// Adds the grants that were looked up to the states.
    pub fn add_grants(&mut self, found: FoundGrants) {
        for (user, grants) in found {
            if let Some(loaded) = self.states.get_mut(&user).filter(|loaded| !loaded.refolded) {
                let by_id = grants.into_iter().map(|grant| (grant.reward.grant, grant));
                loaded.state.grants.extend(by_id);
            }
        }
    }
}
