//! What budgets allowed when rewards were granted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Event, Reward, UnclaimedRewards};
use crate::catalogue::BudgetKey;

/// What became of the lines of a milestone that name a budget. It says what was taken, so replays and rebuilds
/// ask no budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgeted {
    /// Rewards that wait until their budgets hold them: all lines of the milestone, but those refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Reward>,
    /// Rewards that are not granted, because their budget is used up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Reward>,
    /// What each line that names a budget took of it, by the name of the line.
    pub lines: BTreeMap<String, Allotment>,
}

/// What a line took of a budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// The budget and its window.
    #[serde(flatten)]
    pub key: BudgetKey,
    /// How much; 0 unless the line was granted.
    pub taken: i64,
    /// What that means for the line.
    pub outcome: AllottedAs,
}

/// What a budget means for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllottedAs {
    /// It was granted as promised.
    Granted,
    /// Something else was granted in its place.
    Substituted,
    /// It was not granted.
    Refused,
    /// It waits.
    Waiting,
}

impl Event {
    /// What the event takes of budgets.
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
