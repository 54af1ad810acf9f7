//! Allotments: the amounts that lines took of their budgets when rewards were granted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Event, Reward, UnclaimedRewards};
use crate::catalogue::BudgetKey;

/// The allotments of a milestone's lines that name a budget. They record the amounts taken, so that
/// replays and rebuilds read no budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgeted {
    /// Rewards that wait until their budgets hold them: all lines of the milestone except the
    /// refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Reward>,
    /// Rewards that are not granted, because their budget is used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Reward>,
    /// The allotment of each line that names a budget, by the name of the line.
    pub lines: BTreeMap<String, Allotment>,
}

/// The share of a budget that a line took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// The budget and its window.
    #[serde(flatten)]
    pub key: BudgetKey,
    /// The amount taken; 0 unless the line was granted.
    pub taken: i64,
    /// The outcome for the line.
    pub outcome: AllottedAs,
}

/// The outcome of a budget for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllottedAs {
    /// The line was granted as promised.
    Granted,
    /// Another payout was granted in its place.
    Substituted,
    /// The line was not granted.
    Refused,
    /// The line waits for the budget.
    Waiting,
}

impl Event {
    /// Returns the amounts that the event takes from budgets.
    pub fn budget_takes(&self) -> impl Iterator<Item = (&BudgetKey, i64)> {
        let budgeted = match self {
            Self::MilestoneReached { budgeted, .. }
            | Self::RewardsGranted(UnclaimedRewards { budgeted, .. }) => budgeted.as_deref(),
            _ => None,
        };
        let lines = budgeted.into_iter().flat_map(|budgeted| budgeted.lines.values());
        lines.filter(|line| line.taken > 0).map(|line| (&line.key, line.taken))
    }
}
