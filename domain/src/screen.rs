//! The task screen: everything an app shows of a user's tasks, as of one moment, in one answer.
//!
//! A pure function of the user's state, so the live view, a rebuilt view and an auditor's view of a
//! past time show the same.

mod milestones;
mod streak;

use std::borrow::Cow;
use std::cell::RefCell;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::calendar::Period;
use crate::catalogue::definition::{Kind, Meta, Payout, WeightedPayout};
use crate::catalogue::{Catalogue, CatalogueTask, Status, TaskVersion};
use crate::expression::Allowance;
use crate::ids::{TaskId, UserId};
use crate::user_tasks::place::{Place, place};
use crate::user_tasks::{ReachedMilestone, RewardState, UserTasks};

pub use streak::StreakScreen;

/// The language and the filters of a reader. `None` means no restriction.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScreenRequest<'a> {
    /// BCP 47; `None` and unknown languages give the task's default.
    pub locale: Option<&'a str>,
    /// Only tasks of this category.
    pub category: Option<&'a str>,
    /// Only tasks in this state.
    pub state: Option<TaskScreenState>,
    /// Only this task.
    pub task: Option<&'a TaskId>,
}

/// One task as shown. Its JSON is part of the API's contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TaskScreen {
    /// The task.
    pub id: TaskId,
    /// The version that the shown period follows.
    pub version: u32,
    /// The kind of task.
    pub kind: Kind,
    /// For grouping.
    pub category: Option<String>,
    /// Tasks are listed by this, then by id.
    pub order: i64,
    /// One line, in the reader's language.
    pub title: String,
    /// A longer text; may be empty.
    pub description: String,
    /// The target of a tap, for the app to interpret.
    pub navigate: Option<String>,
    /// The state to show.
    pub state: TaskScreenState,
    /// Prerequisites that were never completed.
    pub locked_by: Vec<TaskId>,
    /// The period that contains the moment of the read.
    pub period: Period,
    /// The progress in that period; for continuous tasks the step within the cycle.
    pub progress: i64,
    /// The `at` of the last milestone.
    pub target: i64,
    /// In ascending order of `at`; for continuous tasks those of the running cycle.
    pub milestones: Vec<MilestoneScreen>,
    /// Claimable milestones beside `milestones`, oldest first. The list is bounded,
    /// `unclaimed_count` is not.
    pub unclaimed_from_earlier_periods: Vec<UnclaimedScreen>,
    /// The number of claimable milestones beside `milestones`, listed or not.
    pub unclaimed_count: u64,
    /// The span in which the task takes actions.
    pub window: WindowScreen,
    /// The author's data, unchanged.
    pub meta: Meta,
    /// Present exactly for continuous tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streak: Option<StreakScreen>,
}

/// The span in which a task takes actions; an open end is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WindowScreen {
    /// The first instant inside.
    pub from: Option<Timestamp>,
    /// The first instant after the span.
    pub until: Option<Timestamp>,
}

/// The state of a task, as a reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskScreenState {
    /// A prerequisite is missing.
    Locked,
    /// There is no progress yet.
    Available,
    /// There is some progress.
    InProgress,
    /// Something can be claimed, of this period or an earlier one.
    Claimable,
    /// The last milestone is reached, and there is nothing to claim: the task has no rewards, or those of a
    /// milestone wait for a budget or were refused.
    Completed,
    /// The last milestone is reached, and all rewards are taken.
    Claimed,
    /// The last milestone is reached, but a reward was not taken in time.
    Expired,
}

impl FromStr for TaskScreenState {
    type Err = UnknownTaskState;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        Ok(match got {
            "locked" => Self::Locked,
            "available" => Self::Available,
            "in_progress" => Self::InProgress,
            "claimable" => Self::Claimable,
            "completed" => Self::Completed,
            "claimed" => Self::Claimed,
            "expired" => Self::Expired,
            _ => return Err(UnknownTaskState { got: got.to_owned() }),
        })
    }
}

/// A text that is not the name of a [`TaskScreenState`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a task's state is locked, available, in_progress, claimable, completed, claimed or expired, got {got:?}"
)]
pub struct UnknownTaskState {
    got: String,
}

/// One milestone as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MilestoneScreen {
    /// The progress, or the step, that reaches it.
    pub at: i64,
    /// The time at which it was reached; `None` if it was not.
    pub reached_at: Option<Timestamp>,
    /// The reward lines of the milestone.
    pub rewards: Vec<RewardScreen>,
    /// The author's data, unchanged.
    #[serde(skip_serializing_if = "Meta::is_empty")]
    pub meta: Meta,
}

/// One reward line as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RewardScreen {
    /// The grant; absent while the reward is only promised.
    #[serde(flatten)]
    pub granted: Option<GrantScreen>,
    /// Names the line within its milestone.
    pub line: String,
    /// The payout; absent while it is left to chance.
    #[serde(flatten)]
    pub pays: Option<Payout>,
    /// The possible payouts, while the payout is left to chance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<WeightedPayout>,
    /// The title of the line, in the reader's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The author's data, unchanged.
    #[serde(skip_serializing_if = "Meta::is_empty")]
    pub meta: Meta,
}

/// The grant of a reward line that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GrantScreen {
    /// The grant's id.
    pub grant: Uuid,
    /// The state of the reward at the moment of the read.
    pub state: RewardState,
    /// The first instant at which it can no longer be claimed; `None`: it never expires.
    pub claim_until: Option<Timestamp>,
}

/// A milestone with something to claim, in a period other than the one shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnclaimedScreen {
    /// The period in which it was reached.
    pub period: Period,
    /// The milestone.
    pub at: i64,
    /// The time at which it was reached.
    pub reached_at: Timestamp,
    /// The reward lines of the milestone.
    pub rewards: Vec<RewardScreen>,
    /// The author's data, unchanged, from the version that promised the rewards.
    #[serde(skip_serializing_if = "Meta::is_empty")]
    pub meta: Meta,
}

/// The user's tasks as shown at `now`, sorted by `order`, then by id.
pub fn screen(
    user: &UserId,
    state: &UserTasks,
    catalogue: &Catalogue,
    now: Timestamp,
    request: &ScreenRequest<'_>,
) -> Vec<TaskScreen> {
    let reader = Reader::new(user, state, now, request);
    let mut shown: Vec<_> = match request.task {
        Some(id) => catalogue
            .task(id)
            .and_then(|task| reader.show(task, LeftOut::Hidden))
            .into_iter()
            .collect(),
        None => {
            catalogue.tasks().iter().filter_map(|task| reader.show(task, LeftOut::Hidden)).collect()
        }
    };
    shown.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
    shown
}

/// The state of one task, even if a screen leaves the task out; `None` if there is no such task.
pub fn state_of_task(
    user: &UserId,
    state: &UserTasks,
    catalogue: &Catalogue,
    now: Timestamp,
    task: &TaskId,
) -> Option<TaskScreenState> {
    let request = ScreenRequest::default();
    let reader = Reader::new(user, state, now, &request);
    Some(reader.show(catalogue.task(task)?, LeftOut::Shown)?.state)
}

/// The treatment of tasks that are not offered now and have nothing to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    Hidden,
    Shown,
}

/// The reader of a screen: the user, the user's state, the time and the request.
struct Reader<'a> {
    user: &'a UserId,
    state: &'a UserTasks,
    now: Timestamp,
    request: &'a ScreenRequest<'a>,
    /// The remaining allowance for the audiences of all tasks.
    allowance: RefCell<Allowance>,
}

impl<'a> Reader<'a> {
    fn new(
        user: &'a UserId,
        state: &'a UserTasks,
        now: Timestamp,
        request: &'a ScreenRequest<'a>,
    ) -> Self {
        let allowance = RefCell::new(Allowance::of_many_tasks());
        Self { user, state, now, request, allowance }
    }

    /// The task as requested; `None` if it is left out.
    fn show(&self, task: &CatalogueTask, left_out: LeftOut) -> Option<TaskScreen> {
        let past = self.state.tasks.get(&task.id);
        let unclaimed_count = past.map_or(0, |past| past.unclaimed_count_as_of(self.now));
        let claimable = unclaimed_count > 0;
        let place = place(task, past, &self.state.zones, self.now);
        let definition = &place.version.definition;
        let offered = task.status != Status::Retired
            && definition.window.contains(self.now)
            && self.is_in_audience(place.version);
        let of_category = |requested| definition.category.as_deref() == Some(requested);
        let shown = offered || claimable || left_out == LeftOut::Shown;
        if !shown || !self.request.category.is_none_or(of_category) {
            return None;
        }
        let kind = definition.kind;
        let standing = kind.rules().standing(&place, past, &self.state.zones, self.now);
        let locked_by = self.locked_by(&definition.requires);
        let shown_state = self.state_of(&place, &standing, claimable, !locked_by.is_empty());
        if self.request.state.is_some_and(|requested| requested != shown_state) {
            return None;
        }
        let locale = self.request.locale;
        let text = definition.text_in(locale);
        let placeholders = definition.placeholders(standing.progress);
        let reader = milestones::Reader {
            user: self.user,
            task,
            locale,
            progress: standing.progress,
            now: self.now,
        };
        Some(TaskScreen {
            id: task.id.clone(),
            version: place.version.version,
            kind,
            category: definition.category.clone(),
            order: definition.order,
            title: placeholders.fill(&text.title),
            description: placeholders.fill(&text.description),
            navigate: definition.navigate.clone(),
            state: shown_state,
            locked_by,
            progress: standing.progress,
            target: definition.last_at(),
            milestones: reader.milestones(place.version, &standing.reached),
            unclaimed_from_earlier_periods: past.map_or_else(Vec::new, |past| {
                reader.unclaimed_beside(&past.claimable, &standing.reached)
            }),
            meta: definition.meta.clone(),
            unclaimed_count: reader.count_beside(unclaimed_count, &standing.reached),
            window: WindowScreen { from: definition.window.from, until: definition.window.until },
            streak: standing.streak,
            period: place.period,
        })
    }

    /// True if the user has the task, by the attributes of the moment.
    fn is_in_audience(&self, version: &TaskVersion) -> bool {
        let UserTasks { zones, attributes, .. } = self.state;
        let allowance = &mut self.allowance.borrow_mut();
        version.is_in_audience(self.user, zones.current(), attributes, allowance)
    }

    fn state_of(
        &self,
        place: &Place<'_>,
        standing: &Standing<'_>,
        claimable: bool,
        locked: bool,
    ) -> TaskScreenState {
        let rewarding =
            || place.version.definition.milestones.iter().any(|m| !m.rewards.is_empty());
        let is_lost = |reached: &ReachedMilestone| {
            let mut lines = reached.lines.iter().map(|l| l.state.as_of(&reached.terms, self.now));
            lines.any(|state| matches!(state, RewardState::Expired | RewardState::Forfeited))
        };
        let is_pending = |reached: &ReachedMilestone| {
            let mut states = reached.lines.iter().map(|line| line.state);
            states.clone().any(|state| state == RewardState::Waiting)
                || !reached.lines.is_empty() && states.all(|state| state == RewardState::Refused)
        };
        match standing {
            _ if claimable => TaskScreenState::Claimable,
            Standing { finished: true, .. } if standing.reached.iter().any(is_lost) => {
                TaskScreenState::Expired
            }
            Standing { finished: true, .. } if standing.reached.iter().any(is_pending) => {
                TaskScreenState::Completed
            }
            Standing { finished: true, .. } if rewarding() => TaskScreenState::Claimed,
            Standing { finished: true, .. } => TaskScreenState::Completed,
            _ if locked => TaskScreenState::Locked,
            Standing { progress: 0, .. } => TaskScreenState::Available,
            Standing { .. } => TaskScreenState::InProgress,
        }
    }

    /// The prerequisites that were never completed.
    fn locked_by(&self, requires: &[TaskId]) -> Vec<TaskId> {
        let completed =
            |id: &TaskId| self.state.tasks.get(id).is_some_and(|t| t.completed_at.is_some());
        requires.iter().filter(|id| !completed(id)).cloned().collect()
    }
}

/// The user's progress in a task, as of now.
pub(crate) struct Standing<'a> {
    pub(crate) progress: i64,
    /// The last milestone is reached.
    pub(crate) finished: bool,
    pub(crate) reached: Cow<'a, [ReachedMilestone]>,
    pub(crate) streak: Option<StreakScreen>,
}

impl<'a> Standing<'a> {
    /// The standing in a task whose milestones are amounts of progress.
    pub(crate) fn of_period(place: &Place<'a>) -> Self {
        let target = place.version.definition.last_at();
        Self {
            progress: place.open.map_or(place.carried, |open| open.progress).min(target),
            finished: place.open.is_some_and(|open| open.completed && !open.withheld),
            reached: Cow::Borrowed(place.open.map_or(&[], |open| &open.reached)),
            streak: None,
        }
    }
}

#[cfg(test)]
mod tests;
