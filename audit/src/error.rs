//! The error of the auditors' queries.

use plaudit_event_store::ExecuteError;

/// The reason why a query of an auditor has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An event that the answer is folded from can't be read. The history still shows its row as it
    /// is stored, and the state can be asked for at an earlier sequence.
    #[error(
        "{reason}; ask for the state at an earlier sequence, and look at the row in the user's history"
    )]
    Unreadable {
        /// Names the event and says why it can't be read.
        reason: String,
    },
    /// Reading the log or the database failed.
    #[error(transparent)]
    Store(ExecuteError),
    /// An event has no JSON form: a fault of this program.
    #[error("an event can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<ExecuteError> for AuditError {
    fn from(error: ExecuteError) -> Self {
        match error {
            ExecuteError::Unreadable(reason) => Self::Unreadable { reason },
            other => Self::Store(other),
        }
    }
}

impl From<sqlx::Error> for AuditError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
