//! The objective of a task: the actions or completions that it counts.

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;

/// The counting rule of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Action types that count. Empty exactly if completions are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// Tasks whose completions are counted, each once in a period. Empty exactly if actions are
    /// counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completions_of: Vec<TaskId>,
    /// A CEL expression over `data`, `action` and `user`; absent means all.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The value of one action.
    #[serde(default)]
    pub measure: Measure,
    /// The amount that one period needs. In a continuous task it makes the period count as a step;
    /// in others it is the `at` of the last milestone.
    pub target: i64,
    /// Limits on what is credited.
    #[serde(default)]
    pub cap: Cap,
    /// Time for which a period still takes actions that occurred in it, counted from its end, in
    /// seconds.
    #[serde(default)]
    pub lateness_seconds: i64,
    /// Carries the excess over the target into the next period. Only with `count` and `sum`, and
    /// only for periodic tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carry_over: bool,
}

/// The value of one action.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// One.
    #[default]
    Count,
    /// The integer at this path below `data`, as its field names: `data.gift.coins` is
    /// `["gift", "coins"]`.
    Sum(Vec<String>),
    /// The largest integer that was seen at this path.
    Max(Vec<String>),
    /// The integer at this path of the action that occurred last.
    Latest(Vec<String>),
    /// The number of different values seen at this path.
    Distinct(Vec<String>),
    /// The number of different days with an action.
    Days,
}

impl Measure {
    /// True if each action adds an amount of its own, so that it can be capped and carried over.
    pub fn is_additive(&self) -> bool {
        matches!(self, Self::Count | Self::Sum(_))
    }

    /// True if a period must remember what it counted, because equal values or days count only
    /// once.
    pub fn counts_once(&self) -> bool {
        matches!(self, Self::Distinct(_) | Self::Days)
    }
}

/// Limits on what is credited, for measures that add up.
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
