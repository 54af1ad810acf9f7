//! Reads Kafka records and turns them into batches of work.
//!
//! `plaudit-actions` decides what a record means.
//!
//! The path of a record: the [`consumer`] polls it on a thread of its own and hands it to a
//! [`mapper`] thread, which turns it into items of work. A [`worker`] applies those. Once
//! everything below an offset is applied, the consumer stores it ([`offsets`]). The
//! [`topic_monitor`] compares the brokers' offsets with what was read. A [`session`] is all of
//! these parts, from one start until one of them ends.

pub mod backfill;
pub mod health;
pub mod options;
pub mod status;

mod connection_error;
mod consumer;
mod error;
mod ingest;
mod mapped_room;
mod mapper;
mod message;
mod offsets;
mod preview;
mod properties;
mod route;
mod session;
mod signal;
mod source_partition;
mod topic_monitor;
mod worker;

pub use error::IngestError;
pub use ingest::{CALL_MAX, Ingest};
pub use options::{GroupProtocol, IngestOptions};
pub use preview::{PreviewError, last_records};
pub use properties::RefusedProperty;
pub use route::too_early;
pub use source_partition::SourcePartition;
