//! The catalogue: every published version of every task, and the lookup of those that an action
//! concerns.

mod amnesty;
mod audience;
mod budgets;
pub mod definition;
mod dependencies;
mod patterns;
pub mod text;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::calendar::{Calendar, Period, PeriodKey, Zones, zone};
use crate::expression::{Expression, Filter, InvalidExpression, InvalidFilter};
use crate::ids::TaskId;
use budgets::Budgets;
use definition::{TaskDefinition, ZoneRule};
use dependencies::decision_order;

pub use amnesty::{AMNESTIES_MAX, Amnesty};
pub use audience::{audience_filter, audience_paths, unguarded_attributes};
pub use budgets::{BudgetInForce, BudgetKey, BudgetsUsed, WaitingPlace};
pub use dependencies::{DependencyCycle, TASKS_TOUCHED_MAX, TooManyTouched};

/// One published version of a task, ready to decide actions. Immutable.
#[derive(Debug)]
pub struct TaskVersion {
    /// The number of the version, from 1.
    pub version: u32,
    /// The time of its publication.
    pub published_at: Timestamp,
    /// The time of the task's first publication.
    first_published_at: Timestamp,
    /// The task as published.
    pub definition: TaskDefinition,
    calendar: Calendar,
    /// The only zone, for tasks that do not follow the user's.
    fixed_zone: Option<Zones>,
    filter: Option<Result<Filter, InvalidFilter>>,
    audience_filter: Option<Result<Expression, InvalidExpression>>,
}

impl TaskVersion {
    /// Prepares a definition: compiles its expressions and looks up its zone.
    ///
    /// A `where` that does not compile is not an error here: a definition published under the rules
    /// of an earlier release must not stop the other tasks. Files are checked when they are parsed.
    pub fn new(
        definition: TaskDefinition,
        version: u32,
        published_at: Timestamp,
    ) -> Result<Self, BrokenDefinition> {
        let broken =
            |reason: String| BrokenDefinition { task: definition.id.clone(), version, reason };
        let filter = definition.objective.filter.as_deref().map(Filter::compile);
        let audience_filter = definition.audience.filter.as_deref().map(audience_filter);
        let fixed_zone = match &definition.zone {
            ZoneRule::User => None,
            ZoneRule::Fixed(name) => {
                zone(name).map_err(|e| broken(e.to_string()))?;
                Some(Zones::always(name.clone()))
            }
        };
        for used in definition.budgets() {
            zone(&used.budget.zone).map_err(|e| broken(e.to_string()))?;
        }
        let calendar = Calendar { cadence: definition.every, day_start: definition.day_starts_at };
        Ok(Self {
            version,
            published_at,
            first_published_at: published_at,
            definition,
            calendar,
            fixed_zone,
            filter,
            audience_filter,
        })
    }

    /// Sets the time at which the task's first version was published. By default, this version
    /// counts as the first.
    #[must_use]
    pub fn of_task_since(mut self, first_published_at: Timestamp) -> Self {
        self.first_published_at = first_published_at;
        self
    }

    /// The periods that wait for past actions; `None` if the task does not count past actions.
    pub fn past_periods(&self) -> Option<PastPeriods> {
        let backfill = self.definition.backfill?;
        let before = self.first_published_at;
        let open_until = before.checked_add(PAST_PERIODS_OPEN_FOR).unwrap_or(Timestamp::MAX);
        Some(PastPeriods { from: backfill.from, before, open_until })
    }

    /// True if an open period of this version continues under the next one.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        self.definition.is_followed_by(&next.definition)
    }

    /// The compiled `where`, or the reason why it can't be evaluated for any action. `None` if the
    /// task has no `where`.
    pub fn filter(&self) -> Option<Result<&Filter, &InvalidFilter>> {
        self.filter.as_ref().map(Result::as_ref)
    }

    /// The period that contains `at`, for a user who lived in `zones`.
    pub fn period_at(&self, at: Timestamp, zones: &Zones) -> Period {
        self.bounded(self.fixed_zone.as_ref().unwrap_or(zones).period_at(self.calendar, at))
    }

    /// The period called `key`, for a user who lived in `zones`; `None` if it does not exist.
    pub fn period_named(&self, key: &PeriodKey, zones: &Zones) -> Option<Period> {
        let found = self.fixed_zone.as_ref().unwrap_or(zones).period_named(self.calendar, key);
        found.map(|period| self.bounded(period))
    }

    /// The day that contains `at`, for a user who lived in `zones`, in the zone of the task's
    /// period.
    pub fn day_at(&self, at: Timestamp, zones: &Zones) -> PeriodKey {
        self.fixed_zone.as_ref().unwrap_or(zones).day_at(self.calendar, at)
    }

    /// Gives the period `once` the bounds of the window. Other periods are not cut.
    fn bounded(&self, period: Period) -> Period {
        match self.definition.every {
            crate::calendar::Cadence::Once => {
                let window = self.definition.window;
                // A file's end of the year 9999 is stored as the latest timestamp and means for
                // ever.
                let ends_at = window.until.filter(|until| *until < Timestamp::MAX);
                Period { starts_at: window.from, ends_at, ..period }
            }
            _ => period,
        }
    }
}

/// The periods of a task that wait for past actions. Backfills and live actions arrive in no
/// particular order, so a live action right after the publication must not close a period that the
/// backfill has yet to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastPeriods {
    /// The earliest time of an action that is counted.
    pub from: Timestamp,
    /// The task's first publication. Periods that began before then wait.
    before: Timestamp,
    /// The watermark at which these periods stop waiting.
    pub open_until: Timestamp,
}

/// The time, by the watermark, for which periods before the publication take actions if the task
/// counts past ones. Far longer than a backfill takes, but finite.
pub const PAST_PERIODS_OPEN_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

impl PastPeriods {
    /// True if the period is one of them.
    pub fn contain(&self, period: &Period) -> bool {
        period.starts_at.is_none_or(|start| start < self.before)
    }
}

/// A stored definition that can't be used, although it was checked when it was published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("version {version} of task {task} can't be used: {reason}")]
pub struct BrokenDefinition {
    task: TaskId,
    version: u32,
    reason: String,
}

/// The status of a task, which decides whether it takes actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The task takes actions.
    Active,
    /// The task takes no actions until it is resumed. Earned rewards can be claimed.
    Paused,
    /// The task never takes actions again. Earned rewards can be claimed.
    Retired,
}

/// A task with all its versions.
#[derive(Debug)]
pub struct CatalogueTask {
    /// The task's id.
    pub id: TaskId,
    /// Active, paused or retired.
    pub status: Status,
    /// The time of the last change of `status`.
    pub status_since: Timestamp,
    /// Oldest first, never empty; version `n` is at `n - 1`.
    pub versions: Vec<Arc<TaskVersion>>,
    /// The amnesties that concern the task, in any order.
    pub amnesties: Vec<Amnesty>,
}

impl CatalogueTask {
    /// The version that new periods begin with.
    pub fn current(&self) -> &Arc<TaskVersion> {
        self.versions.last().expect("a task has a version")
    }

    /// A version by its number.
    pub fn version(&self, version: u32) -> Option<&Arc<TaskVersion>> {
        self.versions.get(usize::try_from(version).ok()?.checked_sub(1)?)
    }

    /// The version that applies to an open period which began under version `begun`. Each later
    /// version is asked in turn, so the result does not depend on what the user did between two
    /// publications.
    pub fn version_followed_from(&self, begun: u32) -> &Arc<TaskVersion> {
        let Some(begun) = self.version(begun) else { return self.current() };
        let later = self.versions.iter().filter(|next| next.version > begun.version);
        later.fold(
            begun,
            |standing, next| if standing.is_followed_by(next) { next } else { standing },
        )
    }

    /// The tasks that must be decided before this one, by its version in force.
    fn depends_on_now(&self) -> BTreeSet<&TaskId> {
        self.current().definition.depends_on().collect()
    }

    /// The tasks that must be decided before this one, by any version: an open period may follow an
    /// earlier one.
    pub fn depends_on_in_any_version(&self) -> BTreeSet<&TaskId> {
        self.versions.iter().flat_map(|v| v.definition.depends_on()).collect()
    }

    /// True if completions of another task move this one, by any version.
    pub(crate) fn counts_completions_of(&self, id: &TaskId) -> bool {
        self.versions.iter().any(|v| v.definition.objective.completions_of.contains(id))
    }

    /// True if actions of a type can move this task, by any version.
    pub fn is_moved_by(&self, kind: &str) -> bool {
        self.versions.iter().any(|v| v.definition.listens_to().any(|known| known == kind))
    }

    /// The action types that can move this task, by any version.
    fn listens_to(&self) -> BTreeSet<&str> {
        self.versions.iter().flat_map(|v| v.definition.listens_to()).collect()
    }
}

fn declared_by(amnesties: &[Amnesty], at: Timestamp) -> Vec<Amnesty> {
    amnesties.iter().filter(|amnesty| amnesty.declared_at <= at).copied().collect()
}

/// All tasks, in an order in which each comes before those that depend on it.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// Rises with every change.
    pub revision: i64,
    tasks: Vec<CatalogueTask>,
    by_id: HashMap<TaskId, usize>,
    by_action: HashMap<String, Vec<usize>>,
    dependants: HashMap<TaskId, Vec<usize>>,
    states_needed: HashMap<String, Vec<usize>>,
    budgets: Budgets,
    has_audience_filters: bool,
}

impl Catalogue {
    /// Sorts tasks into the order of decisions: those that others depend on first, then by `order`,
    /// then by id. Dependencies of earlier versions count too, because open periods may
    /// follow those versions. If that gives a cycle, only the versions in force count.
    ///
    /// # Errors
    ///
    /// [`DependencyCycle`] if tasks require, or count the completions of, each other.
    pub fn new(revision: i64, tasks: Vec<CatalogueTask>) -> Result<Self, DependencyCycle> {
        let order = decision_order(&tasks, CatalogueTask::depends_on_in_any_version)
            .or_else(|_| decision_order(&tasks, CatalogueTask::depends_on_now))?;
        let mut tasks: HashMap<TaskId, CatalogueTask> =
            tasks.into_iter().map(|task| (task.id.clone(), task)).collect();
        let tasks: Vec<_> = order.iter().filter_map(|id| tasks.remove(id)).collect();
        let by_id: HashMap<_, _> =
            tasks.iter().enumerate().map(|(i, t)| (t.id.clone(), i)).collect();
        let mut by_action: HashMap<String, Vec<usize>> = HashMap::new();
        let mut dependants: HashMap<TaskId, Vec<usize>> = HashMap::new();
        for (index, task) in tasks.iter().enumerate() {
            // An open period may go on under an earlier version, which may listen to other actions
            // and depend on other tasks.
            for kind in task.listens_to() {
                by_action.entry(kind.to_owned()).or_default().push(index);
            }
            for needed in task.depends_on_in_any_version() {
                dependants.entry(needed.clone()).or_default().push(index);
            }
        }
        let mut catalogue = Self {
            revision,
            tasks,
            by_id,
            by_action,
            dependants,
            states_needed: HashMap::new(),
            budgets: Budgets::default(),
            has_audience_filters: false,
        };
        catalogue.has_audience_filters = catalogue
            .tasks
            .iter()
            .any(|task| task.versions.iter().any(|version| version.audience_filter.is_some()));
        catalogue.states_needed = catalogue
            .by_action
            .keys()
            .map(|action| (action.clone(), catalogue.states_that_decide(action)))
            .collect();
        catalogue.budgets = Budgets::of(&catalogue.tasks, &catalogue.states_needed);
        Ok(catalogue)
    }

    /// A task by its id.
    pub fn task(&self, id: &TaskId) -> Option<&CatalogueTask> {
        self.by_id.get(id).map(|index| &self.tasks[*index])
    }

    /// The index of a task in [`Self::tasks`].
    pub fn place_of(&self, id: &TaskId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// A version of a task.
    pub fn version(&self, id: &TaskId, version: u32) -> Option<&Arc<TaskVersion>> {
        self.task(id)?.version(version)
    }

    /// All tasks, in decision order.
    pub fn tasks(&self) -> &[CatalogueTask] {
        &self.tasks
    }

    /// True if screens evaluate expressions, because some task's audience has a `where`.
    pub fn has_audience_filters(&self) -> bool {
        self.has_audience_filters
    }

    /// Indexes in [`Self::tasks`] of the tasks that subscribe to an action type, ascending.
    pub fn subscribers(&self, kind: &str) -> &[usize] {
        self.by_action.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Indexes in [`Self::tasks`] of the tasks that require `id` or count its completions,
    /// ascending.
    pub fn dependants(&self, id: &TaskId) -> &[usize] {
        self.dependants.get(id).map_or(&[], Vec::as_slice)
    }

    /// Indexes in [`Self::tasks`] of the tasks whose states decide what an action of this type
    /// does, ascending: the tasks that it may move, and the tasks that these depend on.
    pub fn states_needed(&self, kind: &str) -> &[usize] {
        self.states_needed.get(kind).map_or(&[], Vec::as_slice)
    }

    /// True if any task subscribes to the action type.
    pub fn listens_to(&self, kind: &str) -> bool {
        self.by_action.contains_key(kind)
    }

    /// The catalogue as it was at an instant, without later versions, amnesties and changes of
    /// status. Only the last change of a status is stored, so before that change a task counts as
    /// active, even if it was paused then.
    #[must_use]
    pub fn as_of(&self, at: Timestamp) -> Self {
        let tasks = self.tasks.iter().filter_map(|task| {
            let versions: Vec<_> =
                task.versions.iter().filter(|v| v.published_at <= at).map(Arc::clone).collect();
            (!versions.is_empty()).then(|| CatalogueTask {
                id: task.id.clone(),
                status: if task.status_since <= at { task.status } else { Status::Active },
                status_since: task.status_since,
                versions,
                amnesties: declared_by(&task.amnesties, at),
            })
        });
        Self::new(self.revision, tasks.collect()).unwrap_or_default()
    }
}
