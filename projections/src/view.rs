//! The views that can be verified and rebuilt, and the tables that each owns.

use plaudit_event_store::{rewards, states};

use crate::ProjectionError;
use crate::fold::FoldParts;

/// A view that is derived from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    /// `task_view` with `user_view` and `distinct_values`.
    Tasks,
    /// `reward_state`.
    Rewards,
}

/// A table of a view. Its key begins with `lane`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Table {
    pub name: &'static str,
    /// Key columns after `lane`.
    pub key: &'static [&'static str],
    /// Columns after `lane` and `user_id`.
    pub columns: &'static str,
}

const TASK_VIEW: Table =
    Table { name: "task_view", key: &["user_id", "task_id"], columns: states::TASK_COLUMNS };
const USER_VIEW: Table =
    Table { name: "user_view", key: &["user_id"], columns: states::USER_COLUMNS };
const DISTINCT_VALUES: Table = Table {
    name: "distinct_values",
    key: &["user_id", "task_id", "period_key", "chunk"],
    columns: states::VALUE_COLUMNS,
};
const REWARD_STATE: Table = Table {
    name: "reward_state",
    key: &["user_id", "granted_position", "ordinal"],
    columns: rewards::COLUMNS,
};

impl View {
    pub const ALL: [Self; 2] = [Self::Tasks, Self::Rewards];
    pub const NAMES: &'static [&'static str] = &[Self::Tasks.name(), Self::Rewards.name()];

    /// The name that operators use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "task_view",
            Self::Rewards => "reward_state",
        }
    }

    /// The tables, in the order in which readers lock them.
    pub fn tables(self) -> &'static [Table] {
        match self {
            Self::Tasks => &[USER_VIEW, TASK_VIEW, DISTINCT_VALUES],
            Self::Rewards => &[REWARD_STATE],
        }
    }

    /// Returns the parts of a user that the rows of this view are derived from.
    pub fn parts(self) -> FoldParts {
        match self {
            Self::Tasks => FoldParts::State,
            Self::Rewards => FoldParts::Rewards,
        }
    }

    /// Returns the view of this name.
    pub fn named(name: &str) -> Result<Self, ProjectionError> {
        let unknown = || ProjectionError::Unknown { got: name.to_owned(), known: Self::NAMES };
        Self::ALL.into_iter().find(|view| view.name() == name).ok_or_else(unknown)
    }
}
