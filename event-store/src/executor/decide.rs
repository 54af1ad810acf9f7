//! Decides a batch in memory, without any I/O.

mod actions;
mod backfill;
mod budgets;
mod by_hand;
mod claims;
mod decided;
mod deliveries;
mod limits;
mod loaded;
mod metadata;
mod needed;
mod parked;
mod seeds;
mod settle;
mod streaks;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, Position};
use plaudit_domain::user_tasks::{Event, UserTasks, evolve};
use uuid::Uuid;

use super::bisect::is_same_record;
use crate::acknowledgements::IgnoredAcknowledgements;
use crate::backfills::OpenBackfills;
use crate::batch::{
    ChangedUser, Changes, ClaimKey, HandReceipt, Item, NewEvent, NotApplied, Receipt, RequestKey,
    Work,
};
use crate::catalogue_store::InForce;
use crate::error::ExecuteError;
use crate::lanes::Locked;
use crate::parked::ParkedQueues;
use crate::reversals::FoundReversals;
use crate::rewards::claimable::MilestoneKey;
use crate::source_offsets::LaneOffsets;
use crate::states::LoadedState;
use metadata::metadata;

pub use decided::DecidedBatch;
pub use limits::Limits;
pub use loaded::{Loaded, LoadedPast};
pub use needed::{Needed, NeededPast, chunks_needed, tasks_moved_with};
pub use seeds::Seeds;

/// The maximum number of milestones taken by one claim of everything.
pub const CLAIM_ALL_MAX: usize = 500;

/// A user's tasks while a batch is decided.
struct Working {
    lane: Lane,
    loaded: LoadedState,
    counted_before: bool,
    touched: BTreeSet<TaskId>,
    /// The tasks whose streaks the sweeper asked to check.
    looked_at: BTreeSet<TaskId>,
    user_touched: bool,
    changed: bool,
}

/// Decides items in order: all of them, or as many as the limits allow.
///
/// # Errors
///
/// [`ExecuteError::Panicked`] with the index of the item that panicked while it was decided or
/// folded. The whole batch must then be discarded, because its state may be half changed.
pub fn decide_batch<'b>(
    items: &'b [Item],
    locked: Locked,
    loaded: Loaded,
    in_force: &InForce,
    limits: Limits,
    seeds: Seeds,
    now: Timestamp,
) -> Result<DecidedBatch<'b>, ExecuteError> {
    let mut decider = BatchDecider {
        catalogue: &in_force.catalogue,
        backfills: &in_force.backfills,
        now,
        seeds,
        past: loaded.past,
        users: HashMap::with_capacity(loaded.states.len()),
        states: loaded.states,
        seen: loaded.seen,
        applied_before: loaded.offsets,
        receipts: loaded.receipts,
        hand_receipts: loaded.hand_receipts,
        reversals: loaded.reversals,
        ignored_before: loaded.ignored_acknowledgements,
        claimed: loaded.claimed,
        more_claimable: loaded.more_claimable,
        claimed_all: HashSet::new(),
        budgets_used: loaded.budgets,
        parked_queues: loaded.parked,
        under_way: loaded.under_way,
        decided: DecidedBatch {
            changes: Changes::default(),
            newly_seen: Vec::new(),
            seen_again: BTreeSet::new(),
            backfill_actions: BTreeSet::new(),
            dedup_window: locked.dedup_window,
            offsets_moved: HashMap::new(),
            parked: Vec::new(),
            parked_resolved: Vec::new(),
            receipts_given: Vec::new(),
            hand_receipts_given: Vec::new(),
            budget_takes: BTreeMap::new(),
            streak_looks: Vec::new(),
            heads: locked.heads,
            answers: Vec::with_capacity(items.len()),
            unevaluated: Vec::new(),
            backfills: Arc::clone(&in_force.backfills),
        },
    };
    let began = Instant::now();
    for (index, item) in items.iter().enumerate() {
        // The items of one record stay in one transaction: the lane's offset moves past the record
        // as a whole.
        let may_end = index > 0 && !is_same_record(&items[index - 1], item);
        let is_enough = || {
            limits.reached(decider.decided.changes.events.len(), began)
                || limits.allow_a_part() && decider.lacks_claimable_of(item)
        };
        if may_end && is_enough() {
            break;
        }
        let answer = catch_unwind(AssertUnwindSafe(|| Work::decide(item, &mut decider)))
            .map_err(|panic| ExecuteError::panicked(&*panic, Some(index)))?;
        decider.decided.answers.push((item.lane, answer));
    }
    Ok(decider.finish())
}

struct BatchDecider<'c, 'b> {
    catalogue: &'c Catalogue,
    backfills: &'c OpenBackfills,
    /// The time at which the batch is decided.
    now: Timestamp,
    seeds: Seeds,
    past: LoadedPast,
    states: HashMap<UserId, LoadedState>,
    users: HashMap<UserId, Working>,
    seen: HashSet<Uuid>,
    applied_before: LaneOffsets,
    receipts: HashMap<ClaimKey, Vec<Receipt>>,
    hand_receipts: HashMap<RequestKey, HandReceipt>,
    reversals: FoundReversals,
    ignored_before: IgnoredAcknowledgements,
    claimed: HashMap<MilestoneKey, Receipt>,
    /// Users who may have more to claim than was loaded.
    more_claimable: HashSet<UserId>,
    /// Users who have claimed everything in this batch.
    claimed_all: HashSet<UserId>,
    /// The amounts granted from the budgets, including those of this batch.
    budgets_used: BudgetsUsed,
    parked_queues: ParkedQueues,
    /// Claimed grants that may be with the broker already, although no event says so.
    under_way: BTreeSet<Uuid>,
    decided: DecidedBatch<'b>,
}

impl<'b> BatchDecider<'_, 'b> {
    /// The reason why nothing can be decided for a user, if there is one.
    fn fault(&mut self, item: &Item, user: &UserId) -> Option<String> {
        self.working(item, user).loaded.fault.clone()
    }

    /// Returns the state of a user, unless nothing can be decided for the user.
    fn readable(&mut self, item: &Item, user: &UserId) -> Result<&UserTasks, NotApplied> {
        let loaded = &self.working(item, user).loaded;
        loaded.fault.clone().map_or(Ok(&loaded.state), |reason| Err(NotApplied(reason)))
    }

    fn working(&mut self, item: &Item, user: &UserId) -> &mut Working {
        let states = &mut self.states;
        self.users.entry(user.clone()).or_insert_with(|| {
            let mut loaded = states.remove(user).unwrap_or_default();
            Working {
                lane: item.lane,
                counted_before: loaded.state.counted,
                // Written along with any other change of the user.
                touched: std::mem::take(&mut loaded.large_sets.undivided),
                loaded,
                looked_at: BTreeSet::new(),
                user_touched: false,
                changed: false,
            }
        })
    }

    /// Records the events of a command, if there are any.
    fn note(&mut self, item: &Item, user: &UserId, events: Vec<Event>) {
        if !events.is_empty() {
            self.record(item, user, events, &metadata(item, None));
        }
    }

    /// Assigns sequences and positions to events, and folds them. Returns the position of the last
    /// one.
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
        // A state that was folded from the log is saved even without new events.
        let is_changed = |working: &Working| working.changed || working.loaded.refolded;
        let changed = self.users.into_iter().filter(|(_, working)| is_changed(working));
        let mut users: Vec<_> = changed
            .map(|(user, working)| ChangedUser {
                lane: working.lane,
                user,
                // Written with the first event of a user, and when the first action counts.
                user_touched: working.user_touched
                    || !working.loaded.has_row
                    || working.counted_before != working.loaded.state.counted,
                sequence: working.loaded.sequence,
                refolded: working.loaded.refolded,
                state: working.loaded.state,
                stored_sets: working.loaded.large_sets.stored,
                touched: working.touched,
            })
            .collect();
        // In key order: neighbouring rows lie on the same pages.
        users.sort_by(|a, b| (a.lane, &a.user).cmp(&(b.lane, &b.user)));
        self.decided.changes.users = users;
        self.decided
    }
}
