//! Kafka records become actions, and actions become batches.
//!
//! This is the only crate that knows Kafka's client. What a record means is up to `plaudit-actions`.

pub mod health;
mod ingest;
pub mod options;
pub mod partition_state;
pub mod status;

mod applied_notes;
mod attempt;
mod broker;
mod group;
mod partitions;
mod poller;
mod properties;
mod route;
mod survey;
mod tracker;
mod worker;

use std::fmt;
use std::sync::Arc;

pub use ingest::{Ingest, IngestError};
pub use options::{GroupProtocol, IngestOptions};
pub use properties::RefusedProperty;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePartition {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
}

impl fmt::Display for SourcePartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}
