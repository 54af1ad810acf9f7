//! Rows that are not what the log says, and users of whom the log can't be read.

use plaudit_domain::lane::Lane;

/// A row that is not what the log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The lane.
    pub lane: Lane,
    /// The user.
    pub user: String,
    /// The row as it is served; `None`: there is none.
    pub live: Option<String>,
    /// The row as the log has it; `None`: there should be none.
    pub log: Option<String>,
}

/// How many rows differ, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// All of them.
    pub count: u64,
    /// The first [`Self::SHOWN_MAX`].
    pub first: Vec<Difference>,
}

impl Differences {
    /// How many are told one by one.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableUser {
    /// The lane.
    pub lane: Lane,
    /// The user.
    pub user: String,
    /// Which event, and why it can't be read.
    pub reason: String,
}

/// How many users can't be read, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnreadableUsers {
    /// All of them.
    pub count: u64,
    /// The first [`Self::SHOWN_MAX`].
    pub first: Vec<UnreadableUser>,
}

impl UnreadableUsers {
    /// How many are named.
    pub const SHOWN_MAX: usize = 100;

    pub(crate) fn extend(&mut self, lane: Lane, users: Vec<(String, String)>) {
        self.count += u64::try_from(users.len()).unwrap_or(u64::MAX);
        let room = Self::SHOWN_MAX - self.first.len();
        let named = users.into_iter().take(room);
        self.first.extend(named.map(|(user, reason)| UnreadableUser { lane, user, reason }));
    }
}
