//! Deciding a batch in memory. No I/O happens between the first decision and the last.

mod actions;
mod backfill;
mod budgets;
mod by_hand;
mod claims;
mod deliveries;
mod metadata;
mod parked;
mod streaks;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_domain::action::{Action, ActionBody, Reversal, ReversedAction};
use plaudit_domain::catalogue::{BudgetKey, BudgetsUsed, Catalogue, CatalogueTask};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{
    Command, Decision, Event, Rejection, Resolution, Reward, UserTasks, decide_command, evolve,
};
use uuid::Uuid;

use super::bisect::is_same_record;
use crate::backfills::OpenBackfills;
use crate::backfills::bounds::Bounds;
use crate::batch::{
    Applied, ChangedUser, Changes, ClaimKey, HandReceipt, Item, NewEvent, Origin, Outcome,
    ParkedResolution, Receipt, RequestKey, Work,
};
use crate::budgets::Take;
use crate::catalogue_store::InForce;
use crate::lanes::{LaneHead, Locked};
use crate::parked::{NewlyParked, ParkedQueues};
use crate::reversals::FoundReversals;
use crate::rewards::claimable::{ClaimLookup, FoundClaims, MilestoneKey};
use crate::rewards::grants::{FoundGrants, GrantLookup};
use crate::rewards::lapses::SettledUsers;
use crate::rewards::waiting::FoundWaiting;
use crate::seen_actions::NewlySeen;
use crate::source_offsets::{LaneOffsets, SourceKey};
use crate::states::{LoadedState, NeededUsers, truncate_to_micros};
use crate::streak_looks::StreakLook;
use metadata::metadata;

/// The most milestones that one claim of everything takes.
pub const CLAIM_ALL_MAX: usize = 500;

/// What a batch needs from the database before it can decide.
#[derive(Default)]
pub struct Needed {
    /// With the tasks that the items may touch.
    pub users: NeededUsers,
    pub identities: Vec<(Lane, Uuid)>,
    pub sources: HashSet<(Lane, SourceKey)>,
    pub keys: Vec<(Lane, ClaimKey)>,
    pub requests: Vec<(Lane, RequestKey)>,
    /// Actions that are to be taken back, with their names.
    pub reversals: BTreeMap<(Lane, UserId, Uuid), ReversedAction>,
    /// Each with how many milestones it may take.
    pub claims: BTreeMap<ClaimLookup, i64>,
    pub grants: BTreeSet<GrantLookup>,
    pub settled: SettledUsers,
    /// The windows that the items may draw on.
    pub budgets: BTreeSet<BudgetKey>,
    /// Users of whom what waits for a budget is granted, or revoked.
    pub waiting: BTreeSet<(Lane, UserId)>,
    /// Parked records to release or discard.
    pub parked: Vec<(Lane, Uuid)>,
    pub past: NeededPast,
}

/// The rows that past actions need.
#[derive(Default)]
pub struct NeededPast {
    /// Each with the task that is to count it.
    pub actions: Vec<(Lane, TaskId, Uuid)>,
    /// The ids under which they would be parked.
    pub parked: Vec<(Lane, Uuid)>,
}

impl Needed {
    pub fn by(items: &[Item], catalogue: &Catalogue) -> Self {
        let mut needed = Self::default();
        for item in items {
            if let Origin::Record(at) = &item.origin {
                needed.sources.insert((item.lane, at.into()));
            }
            match &item.work {
                Work::Action(action) => needed.add_action(item.lane, action, catalogue),
                Work::CountPast { task, action, parked_as } => {
                    needed.add_action(item.lane, action, catalogue);
                    needed.past.actions.push((item.lane, task.clone(), action.identity()));
                    needed.past.parked.extend(parked_as);
                }
                Work::ReleaseBackfill { user, task, .. } => {
                    needed.add_moved_with(item.lane, user, task, catalogue);
                }
                Work::ResolveParked(ParkedResolution { decision, user, actions }) => {
                    needed.parked.push((item.lane, decision.parked));
                    if let Some(user) = user {
                        needed.tasks_of(item.lane, user);
                    }
                    for action in actions {
                        needed.add_action(item.lane, action, catalogue);
                    }
                }
                Work::Claim { user, task, period, milestone, .. } => {
                    needed.tasks_of(item.lane, user).insert(task.clone());
                    let (task, period) = (Some(task.clone()), period.clone());
                    let (lane, user, milestone) = (item.lane, user.clone(), *milestone);
                    let lookup = ClaimLookup { lane, user, task, period, milestone };
                    *needed.claims.entry(lookup).or_default() += 1;
                }
                Work::ClaimAll { user, .. } => {
                    needed.tasks_of(item.lane, user);
                    let (lane, user) = (item.lane, user.clone());
                    let lookup =
                        ClaimLookup { lane, user, task: None, period: None, milestone: None };
                    // One more tells whether there are others.
                    let count = needed.claims.entry(lookup).or_insert(1);
                    *count += i64::try_from(CLAIM_ALL_MAX).unwrap_or(i64::MAX);
                }
                Work::Settle { user, streaks, as_of } => {
                    needed.tasks_of(item.lane, user).extend(streaks.iter().cloned());
                    let settled = needed.settled.entry((item.lane, user.clone())).or_insert(*as_of);
                    *settled = (*settled).max(*as_of);
                    if !catalogue.waiting_places().is_empty() {
                        needed.waiting.insert((item.lane, user.clone()));
                    }
                    needed.budgets.extend(catalogue.budgets_waited_for(*as_of));
                }
                Work::ByHand { key, command, revoked } => {
                    needed.requests.push((item.lane, key.clone()));
                    let tasks = needed.tasks_of(item.lane, &key.user);
                    tasks.extend(by_hand::tasks_of(command, catalogue));
                    if let Some(Reward { task, period, milestone, .. }) = revoked.as_deref() {
                        needed.waiting.insert((item.lane, key.user.clone()));
                        let lookup = ClaimLookup {
                            lane: item.lane,
                            user: key.user.clone(),
                            task: Some(task.clone()),
                            period: Some(period.clone()),
                            milestone: Some(*milestone),
                        };
                        *needed.claims.entry(lookup).or_default() += 1;
                    }
                }
                Work::StartDeliveries { user, .. }
                | Work::SettleDeliveries { user, .. }
                | Work::Redeliver { user, .. } => drop(needed.tasks_of(item.lane, user)),
                Work::Park(_) | Work::SettleBackfills => {}
            }
            needed.grants.extend(deliveries::grants_of(item));
            needed.keys.extend(claims::key_of(&item.work).map(|key| (item.lane, key)));
        }
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
        if let ActionBody::Reversal(Reversal { target: reversed, .. }) = action.body() {
            let user = &action.user;
            let target = reversed.identity(user);
            self.identities.extend([(lane, target), (lane, reversed.marker(user))]);
            self.reversals.insert((lane, user.clone(), target), reversed.clone());
        }
    }

    /// Adds the tasks that reversed actions moved, with those that lock them.
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

    /// Adds all tasks that an action may touch which moves this one.
    fn add_moved_with(&mut self, lane: Lane, user: &UserId, task: &TaskId, catalogue: &Catalogue) {
        let versions = catalogue.task(task).map_or(&[][..], |task| &task.versions);
        let kinds = versions.iter().flat_map(|version| version.definition.listens_to());
        let places = kinds.flat_map(|kind| catalogue.states_needed(kind));
        let tasks: BTreeSet<TaskId> =
            places.map(|index| catalogue.tasks()[*index].id.clone()).collect();
        self.tasks_of(lane, user).extend(tasks);
    }

    fn tasks_of(&mut self, lane: Lane, user: &UserId) -> &mut BTreeSet<TaskId> {
        self.users.entry((lane, user.clone())).or_default()
    }

    /// Adds the tasks whose milestones were found to be claimable, or to wait, and those that granted something.
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

/// How much one transaction decides. What is left over goes into the next one.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    events: usize,
    time: Duration,
}

impl Limits {
    /// 10,000 events take some 10 MB here and in PostgreSQL. Lanes are held while deciding, so that has an
    /// end too, however many actions cost their full budget of evaluation.
    pub const DEFAULT: Self = Self { events: 10_000, time: Duration::from_millis(250) };

    /// All of it, whatever it takes.
    pub const NONE: Self = Self { events: usize::MAX, time: Duration::MAX };

    fn reached(&self, events: usize, began: Instant) -> bool {
        events >= self.events || began.elapsed() >= self.time
    }
}

/// What the database said.
pub struct Loaded {
    pub states: HashMap<UserId, LoadedState>,
    pub seen: HashSet<Uuid>,
    pub offsets: LaneOffsets,
    pub receipts: HashMap<ClaimKey, Vec<Receipt>>,
    pub hand_receipts: HashMap<RequestKey, HandReceipt>,
    /// The facts of actions that are to be taken back.
    pub reversals: FoundReversals,
    /// The receipts of milestones that claims name and that were claimed before.
    pub claimed: HashMap<MilestoneKey, Receipt>,
    /// The amounts granted of the budgets.
    pub budgets: BudgetsUsed,
    /// What users wait behind, and what is released or discarded.
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

/// A batch, decided.
pub struct DecidedBatch<'b> {
    pub changes: Changes,
    pub newly_seen: Vec<NewlySeen>,
    /// Identities of past actions that were judged once more, for another task.
    pub seen_again: BTreeSet<(Lane, Uuid)>,
    /// The actions, past and live, that tasks with open backfills have decided.
    pub judged_for_backfills: BTreeSet<(Lane, TaskId, Uuid)>,
    pub dedup_window: i32,
    pub offsets_moved: HashMap<(Lane, SourceKey), i64>,
    pub parked: Vec<NewlyParked<'b>>,
    pub parked_resolved: Vec<(Lane, &'b Resolution)>,
    pub receipts_given: Vec<(Lane, ClaimKey, Vec<Receipt>)>,
    pub hand_receipts_given: Vec<(Lane, RequestKey, HandReceipt)>,
    pub budget_takes: BTreeMap<BudgetKey, Take>,
    /// When the streaks that were touched or looked at are to be looked at again.
    pub streak_looks: Vec<StreakLook>,
    pub heads: BTreeMap<Lane, LaneHead>,
    outcomes: Vec<(Lane, Outcome)>,
    unevaluated: Vec<TaskId>,
    backfills: Arc<OpenBackfills>,
}

impl DecidedBatch<'_> {
    /// Notes that the boundaries of backfills are committed in its lanes.
    pub fn note_bounded(&self) {
        self.backfills.note_bounded(self.heads.keys().copied());
    }

    /// The answers, item by item.
    pub fn applied(&self) -> Vec<Applied> {
        let answer = |(lane, outcome): &(Lane, Outcome)| {
            let number = self.heads.get(lane).map_or(0, |head| head.next_position - 1);
            Applied { outcome: outcome.clone(), position: Position { lane: *lane, number } }
        };
        self.outcomes.iter().map(answer).collect()
    }

    /// The users whose stored states are no longer behind what stock postgres-es appended.
    pub fn caught_up(&self) -> Vec<(Lane, &str)> {
        let external = |lane: &Lane| self.heads.get(lane).is_some_and(|head| head.external_appends);
        let users = self.changes.users.iter().filter(|user| external(&user.lane));
        users.map(|user| (user.lane, user.user.as_str())).collect()
    }

    /// Counts what was committed.
    pub fn count(&self) {
        metrics::counter!("plaudit_events_total").increment(self.changes.events.len() as u64);
        metrics::counter!("plaudit_items_total").increment(self.outcomes.len() as u64);
        metrics::counter!("plaudit_parked_total").increment(self.parked.len() as u64);
        for task in &self.unevaluated {
            metrics::counter!("plaudit_where_failed_total", "task" => task.to_string())
                .increment(1);
        }
        self.changes.events.iter().filter_map(acknowledged).for_each(|result| {
            metrics::counter!("plaudit_reward_acknowledgements_total", "result" => result)
                .increment(1);
        });
        let duplicates = self.outcomes.iter().filter(|(_, o)| *o == Outcome::Duplicate).count();
        metrics::counter!("plaudit_duplicates_total").increment(duplicates as u64);
    }
}

/// What a payer said by an action, if that is what an event records.
fn acknowledged(new: &NewEvent) -> Option<&'static str> {
    let result = match new.event {
        Event::RewardDelivered { .. } => "delivered",
        Event::RewardFailed { .. } => "failed",
        Event::AcknowledgementIgnored { .. } => "ignored",
        _ => return None,
    };
    new.metadata.contains("\"action_id\":").then_some(result)
}

/// A user's tasks while a batch is decided.
struct Working {
    lane: Lane,
    loaded: LoadedState,
    counted_before: bool,
    touched: BTreeSet<TaskId>,
    /// The tasks whose streaks a sweeper looks at.
    looked_at: BTreeSet<TaskId>,
    user_touched: bool,
    changed: bool,
}

/// Decides items in order: all, or as many of the first as the limits allow.
pub fn decide_batch<'b>(
    items: &'b [Item],
    locked: Locked,
    loaded: Loaded,
    in_force: &InForce,
    limits: Limits,
) -> DecidedBatch<'b> {
    let mut decider = BatchDecider {
        catalogue: &in_force.catalogue,
        backfills: &in_force.backfills,
        past: loaded.past,
        users: HashMap::with_capacity(loaded.states.len()),
        states: loaded.states,
        seen: loaded.seen,
        applied_before: loaded.offsets,
        receipts: loaded.receipts,
        hand_receipts: loaded.hand_receipts,
        reversals: loaded.reversals,
        claimed: loaded.claimed,
        budgets_used: loaded.budgets,
        parked_queues: loaded.parked,
        decided: DecidedBatch {
            changes: Changes::default(),
            newly_seen: Vec::new(),
            seen_again: BTreeSet::new(),
            judged_for_backfills: BTreeSet::new(),
            dedup_window: locked.dedup_window,
            offsets_moved: HashMap::new(),
            parked: Vec::new(),
            parked_resolved: Vec::new(),
            receipts_given: Vec::new(),
            hand_receipts_given: Vec::new(),
            budget_takes: BTreeMap::new(),
            streak_looks: Vec::new(),
            heads: locked.heads,
            outcomes: Vec::with_capacity(items.len()),
            unevaluated: Vec::new(),
            backfills: Arc::clone(&in_force.backfills),
        },
    };
    let began = Instant::now();
    for (index, item) in items.iter().enumerate() {
        // What one record means stays in one transaction: the lane's offset moves past it as a whole.
        let may_end = index > 0 && !is_same_record(&items[index - 1], item);
        if may_end && limits.reached(decider.decided.changes.events.len(), began) {
            break;
        }
        let outcome = decider.item(item);
        decider.decided.outcomes.push((item.lane, outcome));
    }
    decider.finish()
}

struct BatchDecider<'c, 'b> {
    catalogue: &'c Catalogue,
    backfills: &'c OpenBackfills,
    past: LoadedPast,
    states: HashMap<UserId, LoadedState>,
    users: HashMap<UserId, Working>,
    seen: HashSet<Uuid>,
    applied_before: LaneOffsets,
    receipts: HashMap<ClaimKey, Vec<Receipt>>,
    hand_receipts: HashMap<RequestKey, HandReceipt>,
    reversals: FoundReversals,
    claimed: HashMap<MilestoneKey, Receipt>,
    /// The amounts granted of the budgets, those of this batch included.
    budgets_used: BudgetsUsed,
    parked_queues: ParkedQueues,
    decided: DecidedBatch<'b>,
}

impl<'b> BatchDecider<'_, 'b> {
    fn item(&mut self, item: &'b Item) -> Outcome {
        if let Origin::Record(at) = &item.origin {
            let key = (item.lane, SourceKey::from(at));
            if self.applied_before.get(&key).is_some_and(|next| at.offset < *next) {
                return Outcome::AlreadyApplied;
            }
            let next = self.decided.offsets_moved.entry(key).or_insert(0);
            *next = (*next).max(at.offset + 1);
        }
        if let Work::Settle { user, streaks, .. } = &item.work {
            self.working(item, user).looked_at.extend(streaks.iter().cloned());
        }
        if let Work::Claim { user, .. }
        | Work::ClaimAll { user, .. }
        | Work::Settle { user, .. }
        | Work::ReleaseBackfill { user, .. }
        | Work::ByHand { key: RequestKey { user, .. }, .. }
        | Work::StartDeliveries { user, .. }
        | Work::SettleDeliveries { user, .. }
        | Work::Redeliver { user, .. } = &item.work
            && let Some(reason) = self.fault(item, user)
        {
            return Outcome::Failed(reason);
        }
        match &item.work {
            Work::Park(record) => self.park(item, Cow::Borrowed(record), false),
            Work::ResolveParked(resolved) => self.resolve_parked(item, resolved),
            Work::Action(action) => self.action(item, action),
            Work::CountPast { .. } => self.count_past(item),
            Work::ReleaseBackfill { .. } => self.release_backfill(item),
            Work::SettleBackfills => Outcome::Accepted,
            Work::Claim { user, task, period, milestone, at, .. } => {
                let wish = Command::ClaimRewards {
                    user: user.clone(),
                    task: task.clone(),
                    period: period.clone(),
                    milestone: *milestone,
                    claimed_at: truncate_to_micros(*at),
                };
                self.claim_one(item, user, &wish)
            }
            Work::ClaimAll { user, at, .. } => {
                self.claim_everything(item, user, truncate_to_micros(*at))
            }
            Work::ByHand { key, command, .. } => self.change_by_hand(item, key, command),
            Work::Settle { user, .. }
            | Work::StartDeliveries { user, .. }
            | Work::SettleDeliveries { user, .. }
            | Work::Redeliver { user, .. } => self.deliver(item, user),
        }
    }

    /// Why nothing can be decided for a user.
    fn fault(&mut self, item: &Item, user: &UserId) -> Option<String> {
        self.working(item, user).loaded.fault.clone()
    }

    fn working(&mut self, item: &Item, user: &UserId) -> &mut Working {
        let states = &mut self.states;
        self.users.entry(user.clone()).or_insert_with(|| {
            let loaded = states.remove(user).unwrap_or_default();
            Working {
                lane: item.lane,
                counted_before: loaded.state.counted,
                loaded,
                touched: BTreeSet::new(),
                looked_at: BTreeSet::new(),
                user_touched: false,
                changed: false,
            }
        })
    }

    fn decide(
        &mut self,
        item: &Item,
        user: &UserId,
        command: &Command,
    ) -> Result<Decision, Rejection> {
        self.working(item, user);
        let state: &UserTasks = &self.users[user].loaded.state;
        decide_command(state, command, self.catalogue, &self.budgets_used)
    }

    /// Gives events their places and folds them. Returns the place of the last.
    fn record(
        &mut self,
        item: &Item,
        user: &UserId,
        events: Vec<Event>,
        metadata: &Arc<str>,
    ) -> Position {
        let mut number = 0;
        for event in events {
            self.take_from_budgets(&event);
            let head = self.decided.heads.get_mut(&item.lane).expect("its lane is locked");
            number = head.next_position;
            head.next_position += 1;
            let working = self.working(item, user);
            evolve(&mut working.loaded.state, &event);
            working.loaded.sequence += 1;
            working.changed = true;
            match event.task() {
                Some(task) if !working.touched.contains(task) => {
                    working.touched.insert(task.clone());
                }
                Some(_) => {}
                None => working.user_touched = true,
            }
            let sequence = working.loaded.sequence;
            let new = NewEvent {
                lane: item.lane,
                user: user.clone(),
                sequence,
                position: number,
                event,
                metadata: Arc::clone(metadata),
            };
            self.decided.changes.events.push(new);
        }
        Position { lane: item.lane, number }
    }

    fn finish(mut self) -> DecidedBatch<'b> {
        let looks = self
            .users
            .iter()
            .flat_map(|(user, working)| streaks::looks(user, working, self.catalogue));
        self.decided.streak_looks = looks.collect();
        // A state that was folded from the log is saved even if nothing new came about.
        let is_changed = |working: &Working| working.changed || working.loaded.refolded;
        let changed = self.users.into_iter().filter(|(_, working)| is_changed(working));
        let mut users: Vec<_> = changed
            .map(|(user, working)| ChangedUser {
                lane: working.lane,
                user,
                // The first event of a user makes the row, and the first that counts is noted in it.
                user_touched: working.user_touched
                    || !working.loaded.has_row
                    || working.counted_before != working.loaded.state.counted,
                sequence: working.loaded.sequence,
                refolded: working.loaded.refolded,
                state: working.loaded.state,
                touched: working.touched,
            })
            .collect();
        // In the order of the key: neighbouring rows lie on the same pages.
        users.sort_by(|a, b| (a.lane, &a.user).cmp(&(b.lane, &b.user)));
        self.decided.changes.users = users;
        self.decided
    }
}
