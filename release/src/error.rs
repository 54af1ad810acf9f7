//! Errors of releasing and discarding parked records.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_event_store::ExecuteError;
use uuid::Uuid;

/// Error of a release or discard. The record stays parked.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// No parked record has this id.
    #[error("unknown parked record {0}; `plaudit parked list` lists them")]
    Unknown(Uuid),
    /// The record was released or discarded before.
    #[error("the record {id} is not parked any more: {by} {resolution} it at {at}")]
    Resolved {
        /// The record.
        id: Uuid,
        /// `released` or `discarded`.
        resolution: String,
        /// The operator who decided.
        by: String,
        /// The time of the decision.
        at: Timestamp,
    },
    /// An earlier record of the user is parked.
    #[error(
        "the record {id} waits behind the parked record {first} of the same user; release or discard that one first, and this one follows it"
    )]
    Behind {
        /// The record.
        id: Uuid,
        /// The record that it waits behind.
        first: Uuid,
    },
    /// The action lies in the future.
    #[error("the action is from the future: release it after its `time`, {0}")]
    TooEarly(Timestamp),
    /// The record still can't be read or applied.
    #[error("the record can't be applied: {0}; fix the cause and release it again, or discard it")]
    Unapplied(String),
    /// The database failed.
    #[error(transparent)]
    Store(Arc<ExecuteError>),
}

impl From<sqlx::Error> for ResolveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(Arc::new(error.into()))
    }
}

impl From<Arc<ExecuteError>> for ResolveError {
    fn from(error: Arc<ExecuteError>) -> Self {
        Self::Store(error)
    }
}
