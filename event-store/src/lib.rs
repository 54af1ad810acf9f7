//! The log in lanes: one set-based transaction per batch, and readers that can never skip.
//!
//! This is the only crate that knows cqrs-es, postgres-es and the `events` table.

pub mod aggregate;
mod append;
pub mod batch;
pub mod catalogue_store;
pub mod command_queue;
pub mod error;
pub mod executor;
pub mod floor;
pub mod instant;
mod lanes;
mod load;
pub mod parked;
pub mod reader;
pub mod schema;
pub mod sources;
pub mod upcasters;

pub use batch::{
    Applied, Batch, BatchProjection, ChangedUser, Changes, CheckpointMove, Item, NewEvent, Origin,
    Outcome, ParkedRecord, Receipt, SourcePosition, Work,
};
pub use command_queue::CommandQueue;
pub use error::ExecuteError;
pub use executor::Executor;
