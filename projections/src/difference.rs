//! Rows that differ from the log, and users whose events can't be read.

use plaudit_domain::lane::Lane;
use serde::Serialize;

/// A row that differs from the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The lane.
    pub lane: Lane,
    /// The user.
    pub user: String,
    /// The served row; `None` if it is missing.
    pub live: Option<String>,
    /// The row by the log; `None` if there should be none.
    pub log: Option<String>,
}

/// Number of rows that differ, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// Number of all rows that differ.
    pub count: u64,
    /// The first [`Self::SHOWN_MAX`].
    pub first: Vec<Difference>,
}

impl Differences {
    /// Maximum number of rows that are listed.
    pub const SHOWN_MAX: usize = 20;

    pub(crate) fn add(&mut self, difference: Difference) {
        self.count += 1;
        if self.first.len() < Self::SHOWN_MAX {
            self.first.push(difference);
        }
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.count += more.count;
        let room = Self::SHOWN_MAX - self.first.len();
        self.first.extend(more.first.into_iter().take(room));
    }
}

/// A user with an event that this program can't read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnreadableUser {
    /// The lane.
    pub lane: Lane,
    /// The user.
    pub user: String,
    /// The event, and the reason why it can't be read.
    pub reason: String,
}

/// Number of users who can't be read, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadableUsers {
    /// Number of all such users.
    pub count: u64,
    /// The first [`Self::SHOWN_MAX`].
    pub first: Vec<UnreadableUser>,
}

impl UnreadableUsers {
    /// Maximum number of users that are listed.
    pub const SHOWN_MAX: usize = 100;

    pub(crate) fn extend(&mut self, lane: Lane, users: Vec<(String, String)>) {
        self.count += u64::try_from(users.len()).unwrap_or(u64::MAX);
        let room = Self::SHOWN_MAX - self.first.len();
        let named = users.into_iter().take(room);
        self.first.extend(named.map(|(user, reason)| UnreadableUser { lane, user, reason }));
    }
}
