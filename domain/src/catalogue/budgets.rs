//! The budgets in force, and which of them an action may draw on.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::definition::{
    AtCap, Budget, BudgetId, BudgetUse, Counts, Milestone, RewardLine, TaskDefinition,
};
use super::{Catalogue, CatalogueTask, Status};
use crate::calendar::{Calendar, PeriodKey, Zones};
use crate::ids::TaskId;

/// One window of a budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BudgetKey {
    /// The budget.
    pub budget: BudgetId,
    /// The window, named like a period of a task; `once` for a budget that is never refilled.
    pub window: PeriodKey,
}

/// The amount granted from each window; 0 for a window that is not listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BudgetsUsed(BTreeMap<BudgetKey, i64>);

impl BudgetsUsed {
    /// The amount granted from a window.
    pub fn of(&self, key: &BudgetKey) -> i64 {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// Adds a granted amount.
    pub fn add(&mut self, key: &BudgetKey, taken: i64) {
        let used = self.0.entry(key.clone()).or_default();
        *used = used.saturating_add(taken);
    }

    /// The windows from which anything was granted.
    pub fn iter(&self) -> impl Iterator<Item = (&BudgetKey, i64)> {
        self.0.iter().map(|(key, used)| (key, *used))
    }

    /// True if nothing was granted from any window.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A budget with the terms in force.
#[derive(Debug, Clone)]
pub struct BudgetInForce {
    /// The terms in force.
    pub budget: Budget,
    zones: Zones,
}

impl BudgetInForce {
    fn new(budget: &Budget) -> Self {
        let zones = Zones::always(budget.zone.clone());
        Self { budget: budget.clone(), zones }
    }

    /// The window that contains `at`.
    pub fn key_at(&self, at: Timestamp) -> BudgetKey {
        let Budget { id, every, day_starts_at, .. } = &self.budget;
        let calendar = Calendar { cadence: *every, day_start: *day_starts_at };
        BudgetKey { budget: id.clone(), window: self.zones.period_at(calendar, at).key }
    }

    /// The part of the budget's limit that a line of this amount uses.
    pub fn cost_of(&self, amount: i64) -> i64 {
        match self.budget.counts {
            Counts::Amount => amount,
            Counts::Grants => 1,
        }
    }
}

/// A milestone whose rewards may wait for budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPlace {
    /// The task.
    pub task: TaskId,
    /// The milestone.
    pub milestone: i64,
    /// The budgets that the milestone may wait for.
    pub budgets: BTreeSet<BudgetId>,
}

/// The budgets of a catalogue, computed once when it is built.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    in_force: BTreeMap<BudgetId, BudgetInForce>,
    /// The budgets that actions may draw on, by action type. Types that need none are absent.
    needed: HashMap<String, Vec<BudgetId>>,
    waiting: Vec<WaitingPlace>,
}

impl TaskDefinition {
    /// The budgets that the task's reward lines name.
    pub fn budgets(&self) -> impl Iterator<Item = &BudgetUse> {
        self.milestones.iter().flat_map(budgets_of)
    }
}

fn budgets_of(milestone: &Milestone) -> impl Iterator<Item = &BudgetUse> {
    milestone.rewards.iter().flat_map(RewardLine::budgets)
}

impl Budgets {
    /// `states_needed` lists, for each action type, at least the tasks that it may move.
    pub fn of(tasks: &[CatalogueTask], states_needed: &HashMap<String, Vec<usize>>) -> Self {
        let mut in_force = BTreeMap::new();
        // The versions in force agree, see `check_fit` of the event store. Budgets that only
        // earlier versions or retired tasks name follow the version that was published last.
        let current = tasks.iter().filter(|task| task.status != Status::Retired);
        let current = current.map(CatalogueTask::current);
        let mut earlier: Vec<_> = tasks.iter().flat_map(|task| &task.versions).collect();
        earlier.sort_by_key(|version| std::cmp::Reverse(version.published_at));
        for version in current.chain(earlier) {
            for BudgetUse { budget, .. } in version.definition.budgets() {
                if !in_force.contains_key(&budget.id) {
                    in_force.insert(budget.id.clone(), BudgetInForce::new(budget));
                }
            }
        }
        if in_force.is_empty() {
            return Self::default();
        }
        let named: Vec<BTreeSet<&BudgetId>> = tasks.iter().map(named_by).collect();
        let mut needed = HashMap::new();
        for (kind, indexes) in states_needed {
            let of_kind: BTreeSet<_> = indexes.iter().flat_map(|index| &named[*index]).collect();
            if !of_kind.is_empty() {
                needed.insert(kind.clone(), of_kind.into_iter().copied().cloned().collect());
            }
        }
        let waiting = tasks.iter().flat_map(waiting_places).collect();
        Self { in_force, needed, waiting }
    }
}

/// The budgets that any version of a task names: an open period may follow an earlier one.
fn named_by(task: &CatalogueTask) -> BTreeSet<&BudgetId> {
    let uses = task.versions.iter().flat_map(|version| version.definition.budgets());
    uses.map(|used| &used.budget.id).collect()
}

fn waiting_places(task: &CatalogueTask) -> Vec<WaitingPlace> {
    let mut places: BTreeMap<i64, BTreeSet<BudgetId>> = BTreeMap::new();
    for milestone in task.versions.iter().flat_map(|version| &version.definition.milestones) {
        let waits = budgets_of(milestone).filter(|used| used.at_cap == AtCap::Wait);
        let waits: Vec<_> = waits.map(|used| used.budget.id.clone()).collect();
        if !waits.is_empty() {
            places.entry(milestone.at).or_default().extend(waits);
        }
    }
    let place = |(milestone, budgets)| WaitingPlace { task: task.id.clone(), milestone, budgets };
    places.into_iter().map(place).collect()
}

impl Catalogue {
    /// True if any line names a budget.
    pub fn has_budgets(&self) -> bool {
        !self.budgets.in_force.is_empty()
    }

    /// A budget with the terms in force. They come from the tasks' versions in force, whichever
    /// version a period follows.
    pub fn budget(&self, id: &BudgetId) -> Option<&BudgetInForce> {
        self.budgets.in_force.get(id)
    }

    /// Every budget that an action of this type may draw on, with the window of its time.
    pub fn budgets_needed(&self, kind: &str, at: Timestamp) -> impl Iterator<Item = BudgetKey> {
        let needed = self.budgets.needed.get(kind).map_or(&[][..], Vec::as_slice);
        needed.iter().filter_map(move |id| Some(self.budget(id)?.key_at(at)))
    }

    /// Every budget that a change of these tasks may draw on, with the window that contains `at`.
    pub fn budgets_of<'c>(
        &'c self,
        tasks: impl IntoIterator<Item = &'c TaskId>,
        at: Timestamp,
    ) -> BTreeSet<BudgetKey> {
        if !self.has_budgets() {
            return BTreeSet::new();
        }
        let named = tasks.into_iter().filter_map(|task| self.task(task)).flat_map(named_by);
        named.filter_map(|id| Some(self.budget(id)?.key_at(at))).collect()
    }

    /// The milestones whose rewards may wait, in the order of the tasks.
    pub fn waiting_places(&self) -> &[WaitingPlace] {
        &self.budgets.waiting
    }

    /// Every budget that rewards may wait for, with the window that contains `at`.
    pub fn budgets_waited_for(&self, at: Timestamp) -> impl Iterator<Item = BudgetKey> {
        let ids: BTreeSet<_> =
            self.budgets.waiting.iter().flat_map(|place| &place.budgets).collect();
        ids.into_iter().filter_map(move |id| Some(self.budget(id)?.key_at(at)))
    }
}
