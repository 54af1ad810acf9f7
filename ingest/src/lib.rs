//! Kafka records become batches of work.
//!
//! This is the only crate that knows Kafka's client. What a record means is up to `plaudit-actions`.
//!
//! A record's way: the [`consumer`] polls it on a thread of its own and gives it to a [`mapper`]
//! thread, which turns it into items of work; a [`worker`] applies those; and once everything below
//! an offset is applied, the consumer stores it ([`offsets`]). The [`topic_monitor`] compares what the
//! brokers have with what was read. A [`session`] is all of them, from one start until one of them
//! ends.

pub mod backfill;
pub mod health;
pub mod options;
pub mod status;

mod connection_error;
mod consumer;
mod error;
mod ingest;
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
