//! A task as it was published: the data, without anything derived from it.
//!
//! These types are what the database stores for each version, so they only grow: a new field has a
//! default that means what its absence meant before.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::{Cadence, DayStart};
use crate::ids::TaskId;

/// One task as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDefinition {
    /// Never reused, not even after the task is retired.
    pub id: TaskId,
    /// How often it can be completed.
    pub kind: Kind,
    /// Title and description by BCP 47 language tag. Holds `default_locale`.
    pub text: BTreeMap<String, Text>,
    /// The language for readers whose own is missing.
    pub default_locale: String,
    /// For grouping on a screen; means nothing to the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Screens list tasks by this, then by id.
    #[serde(default)]
    pub order: i64,
    /// Where a tap leads, for the app to understand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub navigate: Option<String>,
    /// How long one turn lasts. [`Cadence::Once`] exactly for ordinary tasks.
    pub every: Cadence,
    /// Whose days count.
    #[serde(default)]
    pub zone: ZoneRule,
    /// The local time at which a day begins; midnight, and without meaning, for cron.
    #[serde(default)]
    pub day_starts_at: DayStart,
    /// When actions count: half-open, by the action's own time.
    #[serde(default)]
    pub window: Window,
    /// Tasks that must have been completed once before this one moves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<TaskId>,
    /// What happens to progress while a prerequisite is missing.
    #[serde(default)]
    pub while_locked: WhileLocked,
    /// What is counted.
    pub objective: Objective,
    /// In ascending order of `at`, never empty. For continuous tasks `at` is a length of streak,
    /// for the others a progress; the last one is the target.
    pub milestones: Vec<Milestone>,
    /// How rewards change hands.
    #[serde(default)]
    pub claim: Claim,
    /// What a new version does to periods that are already open.
    #[serde(default)]
    pub on_new_version: OnNewVersion,
    /// Rules of the streak. Present exactly for continuous tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streak: Option<StreakRules>,
}

/// The three kinds of task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Once in a user's life.
    Ordinary,
    /// Starts over every period.
    Periodic,
    /// Counts periods in a row.
    Continuous,
}

/// What a screen shows of a task in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// One line.
    pub title: String,
    /// More about it; may be empty.
    #[serde(default)]
    pub description: String,
}

/// Whose days a task follows.
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
    /// The first instant no longer inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Window {
    /// Whether `at` lies inside.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// What happens to progress while a prerequisite is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhileLocked {
    /// It does not count.
    #[default]
    Skip,
    /// It counts, and what it earned is released by the action that unlocks the task.
    Count,
}

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Action types, never empty.
    pub on: Vec<String>,
    /// A CEL expression over `data`, `action` and `user`; absent means all.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// What one action is worth.
    #[serde(default)]
    pub measure: Measure,
    /// How much one period needs: for continuous tasks to count as a step, for others the `at` of
    /// the last milestone.
    pub target: i64,
    /// Limits on what is credited.
    #[serde(default)]
    pub cap: Cap,
    /// How long after its end a period still takes actions that occurred in it, in seconds.
    #[serde(default)]
    pub lateness_seconds: i64,
}

/// What one action is worth.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// One.
    #[default]
    Count,
    /// The integer at this path below `data`, as its field names: `data.gift.coins` is
    /// `["gift", "coins"]`.
    Sum(Vec<String>),
}

/// Limits on what is credited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// The most that one action is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_action: Option<i64>,
    /// The most that is credited in one period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_period: Option<i64>,
}

/// A mark on the way, with what is granted there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// The progress, or the length of streak, that reaches it; at least 1.
    pub at: i64,
    /// May be empty.
    #[serde(default)]
    pub rewards: Vec<RewardLine>,
}

/// One line of reward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardLine {
    /// Names the line within its milestone. Part of the grant id.
    pub line: String,
    /// For the payer, e.g. `currency`.
    pub kind: String,
    /// For the payer, e.g. `coin`.
    pub code: String,
    /// At least 1.
    pub amount: i64,
}

/// How rewards change hands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Who starts it.
    #[serde(default)]
    pub mode: ClaimMode,
}

/// Who starts the payment of a reward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimMode {
    /// The user.
    #[default]
    Manual,
    /// Reaching the milestone.
    Automatic,
}

/// What a new version does to periods that are already open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNewVersion {
    /// They end under the version they began with.
    #[default]
    Keep,
    /// They go on under the new version.
    Adopt,
    /// They go on under the new version if its target is not higher.
    AdoptIfEasier,
}

/// Rules of a streak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreakRules {
    /// Steps start over after this length; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<i64>,
}

impl TaskDefinition {
    /// The `at` of the last milestone: what completes the task.
    pub fn last_at(&self) -> i64 {
        self.milestones.last().map_or(self.objective.target, |m| m.at)
    }

    /// The text in `locale`, by its longest known prefix (`zh-Hant-TW`, `zh-Hant`, `zh`), else in
    /// the default one.
    pub fn text_in(&self, locale: Option<&str>) -> &Text {
        let mut wanted = locale;
        while let Some(tag) = wanted {
            if let Some((_, text)) =
                self.text.iter().find(|(have, _)| have.eq_ignore_ascii_case(tag))
            {
                return text;
            }
            wanted = tag.rsplit_once('-').map(|(prefix, _)| prefix);
        }
        self.text
            .get(&self.default_locale)
            .or_else(|| self.text.values().next())
            .expect("a task has text")
    }
}
