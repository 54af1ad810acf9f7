//! Why the store gave no answer.

use plaudit_domain::lane::Lane;

/// Why a batch has no outcome. Nothing of it was stored, unless [`Self::Unavailable`] says that the
/// database did not answer a commit; the same batch may be sent again in any case.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The database did not answer, or lost every attempt to a concurrent writer.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Another process has moved this follower's checkpoint.
    #[error("the checkpoint of follower {follower} in lane {lane} was moved by another process")]
    Fenced {
        /// The follower.
        follower: String,
        /// The lane.
        lane: Lane,
    },
    /// A stored row can't be read: the log or the catalogue is damaged, or newer than this program.
    #[error("{0}")]
    Unreadable(String),
    /// The database refused a statement for a reason that sending it again does not change.
    #[error("the database refused: {0}")]
    Refused(#[source] sqlx::Error),
}

impl ExecuteError {
    /// Whether the same batch may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Whether the same statements may work later. Only what the values of an item can cause is not:
/// such an item is set aside, while for everything else (a conflict, a shutdown, a full disk, a
/// right that was revoked, a limit on time) a batch waits, however long it takes to mend.
///
/// # Source
///
/// PostgreSQL, appendix A "Error Codes": class 22 data exception, class 54 program limit exceeded.
pub fn is_transient(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(db) => {
            !db.code().is_some_and(|code| code.starts_with("22") || code.starts_with("54"))
        }
        sqlx::Error::Encode(_) => false,
        _ => true,
    }
}

impl From<sqlx::Error> for ExecuteError {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) { Self::Unavailable(error) } else { Self::Refused(error) }
    }
}
