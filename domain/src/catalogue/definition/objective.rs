//! What a task counts.

use serde::{Deserialize, Serialize};

use crate::ids::TaskId;

/// What is counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Action types. Empty exactly if completions are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// Tasks whose completions are counted, each once in a period. Empty exactly if actions are
    /// counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completions_of: Vec<TaskId>,
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
    /// What exceeds the target opens the next period. Only with `count` and `sum`, and only for
    /// periodic tasks.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carry_over: bool,
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
    /// The largest integer that was seen at this path.
    Max(Vec<String>),
    /// The integer at this path of the action that occurred last.
    Latest(Vec<String>),
    /// How many different values were seen at this path.
    Distinct(Vec<String>),
    /// How many different days had an action.
    Days,
}

impl Measure {
    /// Whether each action adds something of its own, so that it can be capped and carried over.
    pub fn is_additive(&self) -> bool {
        matches!(self, Self::Count | Self::Sum(_))
    }

    /// Whether a period has to remember what it counted, because the same counts only once.
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
