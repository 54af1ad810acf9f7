//! Errors of the store.

use std::any::Any;
use std::collections::BTreeSet;

use plaudit_domain::catalogue::BudgetKey;
use plaudit_domain::lane::Lane;

use crate::lanes::Contention;

/// The reason why a batch has no outcome. Nothing of it was stored, except possibly after
/// [`Self::Unavailable`] if the database did not answer a commit. In any case the same batch may be
/// sent again.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The database did not answer, or the batch lost to a concurrent writer on every attempt.
    #[error("the database is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Lanes, or a budget, are held by another session: another writer, or an open transaction of
    /// stock postgres-es.
    #[error("{}", busy_text(.0))]
    LanesBusy(Contention),
    /// Other batches used up a budget first. Holds the windows that this batch takes from.
    #[error("a budget no longer holds what was granted of it")]
    BudgetTaken(BTreeSet<BudgetKey>),
    /// Another process has moved this follower's checkpoint.
    #[error("the checkpoint of follower {follower} in lane {lane} was moved by another process")]
    Fenced {
        /// The follower.
        follower: String,
        /// The lane.
        lane: Lane,
    },
    /// A stored row can't be read: it is damaged, or written by a newer program.
    #[error("{0}")]
    Unreadable(String),
    /// The catalogue can't be read, so nothing can be decided for any user.
    #[error("{0}")]
    CatalogueUnreadable(String),
    /// A panic while the batch was loaded, decided or written.
    #[error("an internal error: {message}")]
    Panicked {
        /// The index in the batch of the item being decided; `None` if no single item was.
        place: Option<usize>,
        /// The message of the panic.
        message: String,
    },
    /// The database refused a statement for a reason that a retry does not change.
    #[error("the database refused: {0}")]
    Refused(#[source] sqlx::Error),
}

impl ExecuteError {
    /// True if the same batch may succeed later without intervention.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::LanesBusy(_) | Self::BudgetTaken(_))
    }

    /// True if one item of the batch may be the cause, so that the others can be applied without
    /// it.
    pub fn is_about_an_item(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Unreadable(_) | Self::Panicked { .. })
    }

    /// True if every write meets the same error.
    pub fn is_about_all_writes(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::CatalogueUnreadable(_))
    }

    /// Builds the error for a panic.
    pub(crate) fn panicked(panic: &(dyn Any + Send), place: Option<usize>) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked { place, message: text.unwrap_or("no message").to_owned() }
    }

    /// True if the connection is lost or has an outstanding answer, so that it can't be used again.
    ///
    /// # Source
    ///
    /// PostgreSQL, appendix A "Error Codes": class 08 connection exception, 57P operator intervention,
    /// 25P03 idle in transaction for too long.
    pub fn is_connection_lost(&self) -> bool {
        let (Self::Unavailable(error) | Self::Refused(error)) = self else { return false };
        match error {
            sqlx::Error::Database(db) => db.code().is_some_and(|code| {
                code.starts_with("08") || code.starts_with("57P") || code == "25P03"
            }),
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
            _ => false,
        }
    }
}

fn busy_text(contention: &Contention) -> String {
    let held = match contention {
        Contention::GateClosed => {
            return "all lanes are being locked, as by the swap of a rebuild".to_owned();
        }
        Contention::BudgetHeld(_) => {
            return "a budget of rewards is held by another writer".to_owned();
        }
        Contention::Held(held) => held,
    };
    match held.len() {
        0 => "a lane was held by another writer until a moment ago".to_owned(),
        1 => format!("lane {} is held by another writer", listed(held)),
        _ => format!("lanes {} are held by another writer", listed(held)),
    }
}

fn listed(lanes: &BTreeSet<Lane>) -> String {
    let named: Vec<String> = lanes.iter().take(8).map(ToString::to_string).collect();
    let more = if lanes.len() > named.len() { ", …" } else { "" };
    format!("{}{more}", named.join(", "))
}

/// True if the same statements may work later. False only for errors that the values of an item
/// cause: such an item is parked. For all other errors (a conflict, a shutdown, a full disk, a
/// revoked privilege, a time limit) a batch waits, however long the repair takes.
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
        match error {
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Self::Unreadable(format!("a stored row can't be read: {error}"))
            }
            error if is_transient(&error) => Self::Unavailable(error),
            error => Self::Refused(error),
        }
    }
}
