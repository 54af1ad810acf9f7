//! What an auditor asks: what happened to a user, what caused it, and what it looked like then.
//!
//! Each answer is one type with one serialised form, which HTTP and the command line share. Nothing
//! here writes.

mod error;
mod history;
mod state;

pub use error::AuditError;
pub use history::{Cause, CausingAction, EventEntry, History, HistoryQuery, SourcePosition};
pub use state::{InvalidMoment, Moment, StateAt};
