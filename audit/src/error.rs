//! Why an auditor got no answer.

use plaudit_event_store::ExecuteError;

/// Why an auditor got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An event of the user that the answer follows from can't be read. The history shows its row as
    /// it is stored, and the state can be asked for at a sequence before it.
    #[error(
        "{reason}; ask for the state at an earlier sequence, and look at the row in the user's history"
    )]
    Unreadable {
        /// Which event, and why.
        reason: String,
    },
    /// The log or the database.
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
