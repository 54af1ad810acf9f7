//! A task as it was published: the data, without anything derived from it.
//!
//! These types are what the database stores for each version, so they only grow: a new field has a
//! default that means what its absence meant before.

mod audience;
mod budget;
mod objective;
mod rewards;
mod streak;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::calendar::{Cadence, DayStart};
use crate::catalogue::text::{Placeholders, in_locale};
use crate::ids::TaskId;

pub use crate::kinds::Kind;
pub use audience::{Audience, Share};
pub use budget::{AtCap, Budget, BudgetId, BudgetUse, Counts, InvalidBudgetId};
pub use objective::{Cap, Measure, Objective};
pub use rewards::{
    AtPeriodEnd, Claim, ClaimMode, Milestone, Payout, RewardLine, Rewards, WeightedPayout,
};
pub use streak::{FREEZE_REQUESTED, FreezeUse, Freezes, MakeUp, Pause, StreakRules};

/// An author's additional data for the app. It is shown unchanged and means nothing to the rules.
pub type Meta = Map<String, Value>;

/// The largest [`Meta`], in bytes of compact JSON.
pub const META_BYTES_MAX: usize = 4 * 1024;

/// One task as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDefinition {
    /// Never reused, not even after the task is retired.
    pub id: TaskId,
    /// The kind of task, which decides how often it can be completed.
    pub kind: Kind,
    /// Title and description by BCP 47 language tag, never empty.
    pub text: BTreeMap<String, Text>,
    /// The language for readers whose own is missing. If `text` lacks this language, its first one
    /// is used.
    pub default_locale: String,
    /// For grouping on a screen; means nothing to the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Screens list tasks by this, then by id.
    #[serde(default)]
    pub order: i64,
    /// The target of a tap, for the app to interpret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub navigate: Option<String>,
    /// The length of one turn. Exactly ordinary tasks have [`Cadence::Once`].
    pub every: Cadence,
    /// The zone whose days the task follows.
    #[serde(default)]
    pub zone: ZoneRule,
    /// The local time at which a day begins. For cron it is midnight, and without meaning.
    #[serde(default)]
    pub day_starts_at: DayStart,
    /// The span in which actions count: half-open, by the action's own time.
    #[serde(default)]
    pub window: Window,
    /// Tasks that must have been completed once before this one moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<TaskId>,
    /// The treatment of progress while a prerequisite is missing.
    #[serde(default)]
    pub while_locked: WhileLocked,
    /// The rule for counting actions or completions.
    pub objective: Objective,
    /// In ascending order of `at`, never empty. For continuous tasks `at` is a length of streak,
    /// for the others a progress; the last one is the target.
    pub milestones: Vec<Milestone>,
    /// The rules for claiming rewards.
    #[serde(default)]
    pub claim: Claim,
    /// The effect of a new version on periods that are already open.
    #[serde(default)]
    pub on_new_version: OnNewVersion,
    /// Rules of the streak. Present exactly for continuous tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streak: Option<StreakRules>,
    /// The users who have the task; everybody by default.
    #[serde(default, skip_serializing_if = "Audience::is_everybody")]
    pub audience: Audience,
    /// The author's data, shown with the task.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub meta: Meta,
    /// The rule by which past actions count too; absent: only actions that are read after the
    /// publication count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<Backfill>,
}

/// The texts of a task in one language, for screens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// One line.
    pub title: String,
    /// A longer text; may be empty.
    #[serde(default)]
    pub description: String,
}

/// The zone whose days a task follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneRule {
    /// The zone of each user, UTC for users without one.
    User,
    /// One IANA zone for everybody.
    Fixed(String),
}

impl Default for ZoneRule {
    fn default() -> Self {
        Self::Fixed("UTC".to_owned())
    }
}

/// A half-open span of time `[from, until)`; a missing end is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The first instant inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first instant after the span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Window {
    /// True if `at` lies inside the span.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// The treatment of progress while a prerequisite is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileLocked {
    /// Progress does not count.
    #[default]
    Skip,
    /// Progress counts. The action that unlocks the task releases the rewards earned until then.
    Count,
}

/// The effect of a new version on periods that are already open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewVersion {
    /// Open periods end under the version they began with.
    #[default]
    Keep,
    /// Open periods go on under the new version.
    Adopt,
    /// Open periods go on under the new version if its target is not higher.
    AdoptIfEasier,
}

/// The rule for past actions of a new task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// The earliest time of an action that counts.
    pub from: Timestamp,
    /// The treatment of rewards that past actions earn.
    #[serde(default)]
    pub rewards: BackfillRewards,
}

/// The treatment of rewards that past actions earn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackfillRewards {
    /// Rewards are granted as usual.
    #[default]
    Grant,
    /// Rewards wait until an operator releases them.
    Hold,
    /// No rewards are granted; progress counts.
    None,
}

impl TaskDefinition {
    /// The action types that can move the task.
    pub fn listens_to(&self) -> impl Iterator<Item = &str> {
        let rules = self.streak.as_ref();
        let make_up = rules.and_then(|rules| rules.make_up.as_ref());
        let freezes = rules.filter(|rules| rules.takes_freeze_requests());
        let freezes = freezes.map(|_| FREEZE_REQUESTED);
        let on = self.objective.on.iter().map(String::as_str);
        on.chain(make_up.map(|make_up| make_up.on.as_str())).chain(freezes)
    }

    /// The tasks that must be decided before this one: its prerequisites, and the tasks that it
    /// counts.
    pub fn depends_on(&self) -> impl Iterator<Item = &TaskId> {
        self.requires.iter().chain(&self.objective.completions_of)
    }

    /// The `at` of the last milestone, which completes the task.
    pub fn last_at(&self) -> i64 {
        self.milestones.last().map_or(self.objective.target, |m| m.at)
    }

    /// True if an open period under this definition continues under the next one.
    pub fn is_followed_by(&self, next: &Self) -> bool {
        match next.on_new_version {
            OnNewVersion::Keep => false,
            OnNewVersion::Adopt => true,
            // In a streak, the last milestone is a length; one period needs its objective's target.
            OnNewVersion::AdoptIfEasier => {
                next.last_at() <= self.last_at() && next.objective.target <= self.objective.target
            }
        }
    }

    /// The text for readers of `locale`, see [`in_locale`].
    pub fn text_in(&self, locale: Option<&str>) -> &Text {
        in_locale(&self.text, locale, &self.default_locale).expect("a task has text")
    }

    /// The values of the placeholders in the task's texts, at this progress.
    pub fn placeholders(&self, progress: i64) -> Placeholders {
        let first = self.milestones.last().and_then(|last| last.rewards.first());
        let amount = first.and_then(RewardLine::fixed).map(|payout| payout.amount);
        Placeholders { target: self.last_at(), progress, amount }
    }
}
