//! Errors of projections.

use plaudit_event_store::ExecuteError;

/// Error of a verification or a rebuild.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// There is no projection of this name.
    #[error("unknown projection {got:?}; one of: {}", known.join(", "))]
    Unknown {
        /// The name that was asked for.
        got: String,
        /// The names that exist.
        known: &'static [&'static str],
    },
    /// Another process is rebuilding the view.
    #[error(
        "{projection} is being rebuilt by another process; `plaudit projections list` shows how far it is"
    )]
    AlreadyRunning {
        /// The projection.
        projection: &'static str,
    },
    /// There is no rebuild to pause, resume or cancel.
    #[error(
        "no rebuild of {projection} is under way; `plaudit projections rebuild {projection}` starts one"
    )]
    NotRunning {
        /// The projection.
        projection: &'static str,
    },
    /// The swap never got its locks within the time for which it may hold up writers.
    #[error(
        "{projection} is loaded, but writers or readers left no room to put it in place; run `plaudit projections rebuild {projection}` again when there is less load"
    )]
    NoRoom {
        /// The projection.
        projection: &'static str,
    },
    /// Other transactions kept lanes locked until the last attempt, so the swap could not lock all.
    #[error(
        "{projection} is loaded, but transactions that keep these lanes locked left no room to put it in place: {lanes}; end them (\"A lane is held\" in docs/operations.md has the query of pg_locks that finds them), and run `plaudit projections rebuild {projection}` again"
    )]
    LanesHeld {
        /// The projection.
        projection: &'static str,
        /// The lanes, separated by commas.
        lanes: String,
    },
    /// The database does not answer, or the answer to a step was lost.
    #[error(
        "the rebuild of {projection} has had no answer from the database for {} s; run `plaudit projections rebuild {projection}` again: it goes on where it stopped", limit.as_secs()
    )]
    Silent {
        /// The projection.
        projection: &'static str,
        /// The time without an answer.
        limit: std::time::Duration,
    },
    /// The log can't be read, or the database failed.
    #[error(transparent)]
    Store(#[from] ExecuteError),
}

impl From<sqlx::Error> for ProjectionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A stored value that this program can't read.
pub(crate) fn undecodable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
