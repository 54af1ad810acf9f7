//! The rows that a batch needs from the database before it can be decided.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use plaudit_domain::action::{
    Acknowledgement, Action, ActionBody, Reversal, ReversedAction, Verdict,
};
use plaudit_domain::catalogue::{BudgetKey, Catalogue, CatalogueTask};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{Event, Reward, distinct_values};
use uuid::Uuid;

use super::{CLAIM_ALL_MAX, by_hand, deliveries};
use crate::batch::{
    ByHand, Claim, ClaimKey, CountPast, Incoming, Item, Origin, Redeliver, ReleaseBackfill,
    RequestKey, ResolveParked, Settle, SettleDeliveries, StartDeliveries, Work,
};
use crate::reversals::FoundReversals;
use crate::rewards::claimable::{ClaimDemand, ClaimLookup, ClaimLookups, FoundClaims};
use crate::rewards::grants::{FoundGrants, GrantLookup};
use crate::rewards::lapses::{self, SettledUsers};
use crate::rewards::waiting::{FoundWaiting, WAITING_MAX, WaitingDemand};
use crate::source_offsets::SourceKey;
use crate::states::{LoadedState, NeededChunk, NeededUsers};

/// The rows that a batch needs before it can decide.
#[derive(Default)]
pub struct Needed {
    /// The users, with the tasks that the items may touch.
    pub users: NeededUsers,
    pub identities: Vec<(Lane, Uuid)>,
    pub sources: HashSet<(Lane, SourceKey)>,
    pub keys: Vec<(Lane, ClaimKey)>,
    pub requests: Vec<(Lane, RequestKey)>,
    /// Actions to be reversed, with their source and id.
    pub reversals: BTreeMap<(Lane, UserId, Uuid), ReversedAction>,
    /// Acknowledgements of delivered rewards.
    pub acknowledgements: Vec<(Lane, UserId, Uuid)>,
    pub claims: ClaimLookups,
    pub grants: BTreeSet<GrantLookup>,
    /// Grants to revoke or redeliver, which may be under way although no event says so.
    pub under_way: BTreeSet<(Lane, Uuid)>,
    pub settled: SettledUsers,
    /// The budget windows that the items may draw on.
    pub budgets: BTreeSet<BudgetKey>,
    /// Users whose waiting rewards may be granted or revoked.
    pub waiting: BTreeMap<(Lane, UserId), WaitingDemand>,
    /// Parked records to release or discard.
    pub parked: Vec<(Lane, Uuid)>,
    pub past: NeededPast,
}

/// The rows needed by past actions.
#[derive(Default)]
pub struct NeededPast {
    /// The actions, each with the task that is to count it.
    pub actions: Vec<(Lane, TaskId, Uuid)>,
    /// The ids under which these actions would be parked.
    pub parked: Vec<(Lane, Uuid)>,
    /// The users of these actions, with the names under which reversals know them.
    pub named: Vec<(Lane, UserId, ReversedAction)>,
}

impl Needed {
    pub fn by(items: &[Item], catalogue: &Catalogue) -> Self {
        let mut needed = Self::default();
        for item in items {
            if let Origin::Record(at) = &item.origin {
                needed.sources.insert((item.lane, at.into()));
            }
            match &item.work {
                Work::Incoming(Incoming::Action(action)) => {
                    needed.add_action(item.lane, action, catalogue);
                }
                Work::CountPast(CountPast { task, action, parked_as }) => {
                    needed.add_action(item.lane, action, catalogue);
                    needed.past.actions.push((item.lane, task.clone(), action.identity()));
                    needed.past.parked.extend(parked_as);
                    let (source, id) = (action.source.clone(), action.id.clone());
                    let named = ReversedAction { source, id };
                    needed.past.named.push((item.lane, action.user.clone(), named));
                }
                Work::ReleaseBackfill(ReleaseBackfill { user, task, at, .. }) => {
                    needed.add_moved_with(item.lane, user, task, *at, catalogue);
                }
                Work::ResolveParked(ResolveParked { decision, user, actions }) => {
                    needed.parked.push((item.lane, decision.parked));
                    if let Some(user) = user {
                        needed.tasks_of(item.lane, user);
                    }
                    for action in actions {
                        needed.add_action(item.lane, action, catalogue);
                    }
                }
                Work::Claim(claim) => {
                    let Claim { user, task, period, milestone, at, .. } = claim;
                    needed.keys.extend(claim.key().map(|key| (item.lane, key)));
                    needed.tasks_of(item.lane, user).insert(task.clone());
                    let (task, period) = (Some(task.clone()), period.clone());
                    let (lane, user, milestone) = (item.lane, user.clone(), *milestone);
                    let lookup = ClaimLookup { lane, user, task, period, milestone };
                    needed.add_claim(lookup, *at);
                }
                Work::ClaimAll(claim) => {
                    needed.keys.extend(claim.key().map(|key| (item.lane, key)));
                    needed.tasks_of(item.lane, &claim.user);
                    let (lane, user) = (item.lane, claim.user.clone());
                    let lookup =
                        ClaimLookup { lane, user, task: None, period: None, milestone: None };
                    // One more than is taken, to tell whether a second claim of the user would find
                    // more.
                    let count = i64::try_from(CLAIM_ALL_MAX).unwrap_or(i64::MAX).saturating_add(1);
                    let demand = ClaimDemand::new(count, claim.at);
                    let known = needed.claims.entry(lookup).or_insert(demand);
                    *known = known.or(demand);
                }
                Work::Settle(Settle { user, streaks, as_of }) => {
                    needed.tasks_of(item.lane, user).extend(streaks.iter().cloned());
                    let settled = needed.settled.entry((item.lane, user.clone())).or_insert(*as_of);
                    *settled = (*settled).max(*as_of);
                    if !catalogue.waiting_places().is_empty() {
                        needed.waiting.entry((item.lane, user.clone())).or_default();
                    }
                    needed.budgets.extend(catalogue.budgets_waited_for(*as_of));
                }
                Work::ByHand(ByHand { key, command, revoked }) => {
                    needed.requests.push((item.lane, key.clone()));
                    let grant = by_hand::grant_of(command).map(|grant| (item.lane, grant));
                    needed.under_way.extend(grant);
                    let tasks = by_hand::tasks_of(command, catalogue);
                    let at = by_hand::arrived_at(command);
                    needed.budgets.extend(catalogue.budgets_of(&tasks, at));
                    needed.tasks_of(item.lane, &key.user).extend(tasks);
                    if let Some(Reward { task, period, milestone, .. }) = revoked.as_deref() {
                        let demand = WaitingDemand { count: WAITING_MAX, of_any_place: true };
                        needed.waiting.insert((item.lane, key.user.clone()), demand);
                        let lookup = ClaimLookup {
                            lane: item.lane,
                            user: key.user.clone(),
                            task: Some(task.clone()),
                            period: Some(period.clone()),
                            milestone: Some(*milestone),
                        };
                        needed.add_claim(lookup, by_hand::arrived_at(command));
                    }
                }
                Work::Redeliver(again) => {
                    let Redeliver { user, grant, .. } = again;
                    needed.under_way.insert((item.lane, *grant));
                    needed.tasks_of(item.lane, user);
                    let identity = deliveries::redelivery_identity(&item.origin, again);
                    needed.identities.extend(identity.map(|identity| (item.lane, identity)));
                }
                Work::StartDeliveries(StartDeliveries { user, .. })
                | Work::SettleDeliveries(SettleDeliveries { user, .. }) => {
                    needed.tasks_of(item.lane, user);
                }
                Work::Incoming(Incoming::Park(_)) | Work::SettleBackfills(_) => {}
            }
            needed.grants.extend(deliveries::grants_of(item));
        }
        let share = lapses::share_of(needed.waiting.len(), WAITING_MAX);
        needed.waiting.values_mut().for_each(|demand| demand.count = demand.count.max(share));
        needed
    }

    fn add_action(&mut self, lane: Lane, action: &Action, catalogue: &Catalogue) {
        let tasks = self.tasks_of(lane, &action.user);
        for index in catalogue.states_needed(&action.kind) {
            let id = &catalogue.tasks()[*index].id;
            if !tasks.contains(id) {
                tasks.insert(id.clone());
            }
        }
        self.identities.push((lane, action.identity()));
        self.budgets.extend(catalogue.budgets_needed(&action.kind, action.occurred_at));
        let user = &action.user;
        match action.body() {
            ActionBody::Reversal(Reversal { target: reversed, .. }) => {
                let target = reversed.identity(user);
                self.identities.extend([(lane, target), (lane, reversed.marker(user))]);
                self.reversals.insert((lane, user.clone(), target), reversed.clone());
            }
            ActionBody::Acknowledgement(Acknowledgement {
                verdict: Verdict::Delivered, ..
            }) => {
                self.acknowledgements.push((lane, user.clone(), action.identity()));
            }
            ActionBody::Acknowledgement(_) | ActionBody::UserUpdate(_) | ActionBody::Business => {}
        }
    }

    /// Adds the tasks that reversed actions moved, and the tasks that these depend on.
    pub fn add_tasks_of_reversed(&mut self, found: &FoundReversals, catalogue: &Catalogue) {
        for ((lane, user, target), _) in self.reversals.clone() {
            let tasks = self.tasks_of(lane, &user);
            for task in found.get(&target).into_iter().flatten().filter_map(Event::task) {
                tasks.insert(task.clone());
                let locks = catalogue.task(task).map(CatalogueTask::depends_on_in_any_version);
                tasks.extend(locks.into_iter().flatten().cloned());
            }
        }
    }

    /// Adds all tasks that an action moving this task may touch, and their budgets.
    fn add_moved_with(
        &mut self,
        lane: Lane,
        user: &UserId,
        task: &TaskId,
        at: Timestamp,
        catalogue: &Catalogue,
    ) {
        let tasks = tasks_moved_with(task, catalogue);
        self.budgets.extend(catalogue.budgets_of(tasks.iter().copied(), at));
        self.tasks_of(lane, user).extend(tasks.into_iter().cloned());
    }

    /// Adds a claim of one milestone.
    fn add_claim(&mut self, lookup: ClaimLookup, at: Timestamp) {
        let demand = ClaimDemand::new(1, at);
        let known = self.claims.get(&lookup).map_or(demand, |known| known.plus(demand));
        self.claims.insert(lookup, known);
    }

    fn tasks_of(&mut self, lane: Lane, user: &UserId) -> &mut BTreeSet<TaskId> {
        self.users.entry((lane, user.clone())).or_default()
    }

    /// Adds the tasks whose milestones were found claimable or waiting, and the tasks of the grants
    /// found.
    pub fn add_tasks_of(
        &mut self,
        found: &FoundClaims,
        waiting: &FoundWaiting,
        grants: &FoundGrants,
    ) {
        for ((_, user), tasks) in &mut self.users {
            let claimable = found.claimable.get(user);
            tasks.extend(claimable.into_iter().flat_map(BTreeMap::keys).cloned());
            tasks.extend(waiting.get(user).into_iter().flat_map(BTreeMap::keys).cloned());
            let granted = grants.get(user).into_iter().flatten();
            tasks.extend(granted.map(|grant| grant.reward.task.clone()));
        }
    }
}

/// The tasks that an action moving this task may touch.
pub fn tasks_moved_with<'c>(task: &TaskId, catalogue: &'c Catalogue) -> BTreeSet<&'c TaskId> {
    let versions = catalogue.task(task).map_or(&[][..], |task| &task.versions);
    let kinds = versions.iter().flat_map(|version| version.definition.listens_to());
    let places = kinds.flat_map(|kind| catalogue.states_needed(kind));
    places.map(|index| &catalogue.tasks()[*index].id).collect()
}

/// The chunks of large value sets in which the values of actions are looked up. Most users have no
/// such set.
pub fn chunks_needed(
    items: &[Item],
    catalogue: &Catalogue,
    states: &HashMap<UserId, LoadedState>,
) -> BTreeSet<NeededChunk> {
    let mut needed = BTreeSet::new();
    if states.values().all(|loaded| loaded.large_sets.stored.is_empty()) {
        return needed;
    }
    for item in items {
        let actions: &[Action] = match &item.work {
            Work::Incoming(Incoming::Action(action))
            | Work::CountPast(CountPast { action, .. }) => std::slice::from_ref(action),
            Work::ResolveParked(resolution) => &resolution.actions,
            _ => &[],
        };
        for action in actions {
            let sets = states.get(&action.user).map(|loaded| &loaded.large_sets.stored);
            for set in sets.into_iter().flatten() {
                let Some(task) = catalogue.task(&set.0) else { continue };
                let values = distinct_values(task, action);
                needed.extend(values.into_iter().map(|value| NeededChunk {
                    lane: item.lane,
                    user: action.user.clone(),
                    set: set.clone(),
                    chunk: value.chunk(),
                }));
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plaudit_domain::catalogue::definition::TaskDefinition;
    use plaudit_domain::catalogue::{Status, TaskVersion};

    use super::*;
    use crate::batch::ClaimAll;

    /// Without the totals, the rules would grant what the budgets no longer hold.
    #[test]
    fn the_budgets_of_released_rewards_are_loaded() {
        let yaml = "{budgets: [{id: badges, limit: 5}],
          tasks: [{id: gifts, kind: ordinary, objective: {on: gift.sent, target: 1},
                   rewards: [{line: badge, kind: item, code: gold, amount: 1, budget: badges, at_cap: wait}]}]}";
        let at = Timestamp::UNIX_EPOCH;
        let task = |definition: TaskDefinition| CatalogueTask {
            id: definition.id.clone(),
            status: Status::Active,
            status_since: at,
            versions: vec![Arc::new(TaskVersion::new(definition, 1, at).expect("a task"))],
            amnesties: vec![],
        };
        let definitions = plaudit_task_file::parse(yaml).expect("a task file");
        let catalogue = Catalogue::new(1, definitions.into_iter().map(task).collect());
        let work = ReleaseBackfill {
            user: "ann".parse().expect("a user id"),
            task: "gifts".parse().expect("a task id"),
            by: "ops".to_owned(),
            reason: None,
            at,
        };
        let item = Item { lane: Lane(0), work, origin: Origin::Sweeper }.mixed();
        let needed = Needed::by(&[item], &catalogue.expect("a catalogue"));
        let budgets: Vec<&str> = needed.budgets.iter().map(|key| key.budget.as_str()).collect();
        assert_eq!(budgets, ["badges"]);
    }

    #[test]
    fn what_is_loaded_for_users_has_a_bound_however_many_and_however_often_they_ask() {
        let item = |user: &str, work: fn(UserId) -> Work| Item {
            lane: Lane(0),
            work: work(user.parse().expect("a user id")),
            origin: Origin::Sweeper,
        };
        let claim =
            |user| ClaimAll { user, at: Timestamp::UNIX_EPOCH, idempotency_key: None }.into();
        let of_one: Vec<Item> = (0..1_500).map(|_| item("ann", claim)).collect();
        let needed = Needed::by(&of_one, &Catalogue::default());
        assert_eq!(needed.claims.values().map(|demand| demand.count).sum::<i64>(), 501);
        assert_eq!(lapses::share_of(1, lapses::SETTLED_MAX), 500);
        assert_eq!(lapses::share_of(1_500, lapses::SETTLED_MAX), 6);
        assert_eq!(lapses::share_of(100_000, lapses::SETTLED_MAX), 1);
    }
}
