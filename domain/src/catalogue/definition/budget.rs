//! Budgets: limits on what is granted to all users together.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Payout;
use crate::calendar::{Cadence, DayStart};
use crate::ids::{InvalidTaskId, TaskId};

/// Names a budget, e.g. `gold-badges`. Written like the id of a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct BudgetId(Arc<str>);

impl BudgetId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BudgetId {
    type Error = InvalidBudgetId;

    fn try_from(got: String) -> Result<Self, Self::Error> {
        match TaskId::try_from(got.clone()) {
            Ok(id) => Ok(Self(id.as_str().into())),
            Err(InvalidTaskId { .. }) => Err(InvalidBudgetId { got }),
        }
    }
}

impl fmt::Display for BudgetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The reason why a text is not a [`BudgetId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the id of a budget is 1 to {} of a-z, 0-9, '.', '_' and '-', got {got:?}",
    TaskId::LEN_BYTES_MAX
)]
pub struct InvalidBudgetId {
    got: String,
}

/// A cap on what is granted to all users together. Each version of a task keeps the budgets that its
/// lines name; the terms in force are those of the versions in force, see
/// [`Catalogue::budget`](crate::catalogue::Catalogue::budget).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The budget's name. Lines that name the same budget share it, in whichever tasks they are.
    pub id: BudgetId,
    /// The limit of each window. 0 grants nothing.
    pub limit: i64,
    /// The unit of the limit.
    #[serde(default)]
    pub counts: Counts,
    /// The cadence at which a new window opens.
    #[serde(default = "once")]
    pub every: Cadence,
    /// The IANA zone of its days.
    #[serde(default = "utc")]
    pub zone: String,
    /// The local time at which its days begin.
    #[serde(default)]
    pub day_starts_at: DayStart,
}

fn once() -> Cadence {
    Cadence::Once
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The unit of a budget.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// The amounts of the lines.
    #[default]
    Amount,
    /// Each granted line as one.
    Grants,
}

/// The budget of a reward line, and what happens when it is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetUse {
    /// The budget as the task's file declares it.
    pub budget: Budget,
    /// The treatment of a line that exceeds the budget.
    pub at_cap: AtCap,
}

/// The treatment of a reward line that exceeds its budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtCap {
    /// The line is granted once the budget has room for it. The other lines of its milestone wait
    /// with it.
    Wait,
    /// The line is not granted.
    Refuse,
    /// This payout is granted instead. It draws on no budget.
    Substitute(Payout),
}
