//! The event log in lanes: one set-based transaction per batch, and readers that never miss an
//! event.
//!
//! This is the only crate that knows cqrs-es, postgres-es and the `events` table.

mod acknowledgements;
pub mod action_fields;
pub mod aggregate;
mod author;
pub mod backfills;
pub mod batch;
pub mod budgets;
mod catalogue_revision;
pub mod catalogue_store;
mod checkpoints;
mod clock;
pub mod deliveries;
pub mod error;
pub mod executor;
pub mod hand_answers;
mod hand_receipts;
pub mod instant;
pub mod lanes;
mod log;
mod metadata;
mod off_the_runtime;
pub mod operations;
pub mod parked;
pub mod pool;
mod purge;
mod queue;
pub mod raw_log;
pub mod reader;
mod receipts;
mod reversals;
pub mod rewards;
pub mod schema;
mod schema_error;
pub mod seen_actions;
pub mod source_files;
mod source_offsets;
pub mod sources;
pub mod states;
mod streak_looks;
pub mod sweeper;
mod text;
pub mod upcasters;
pub mod upkeep;

pub use batch::{
    ActionAnswer, Answer, Applied, Batch, BatchProjection, ByHand, ChangedUser, Changes,
    CheckpointMove, Claim, ClaimAll, ClaimAnswer, ClaimedAll, CountPast, HandAnswer, HandChange,
    HandReceipt, Incoming, Item, Kind, NewEvent, NotApplied, Origin, ParkedRecord, PastAnswer,
    Receipt, Redeliver, RedeliverAnswer, ReleaseAnswer, ReleaseBackfill, RequestKey, ResolveAnswer,
    ResolveParked, Settle, SettleBackfills, SettleDeliveries, Settled, SourcePosition,
    StartDeliveries, StartedDeliveries, Work,
};
pub use checkpoints::advance as move_checkpoints;
pub use clock::Clock;
pub use error::ExecuteError;
pub use executor::Executor;
pub use metadata::Metadata;
pub use off_the_runtime::off_the_runtime;
pub use queue::{BusyLane, CommandQueue, Submission};
