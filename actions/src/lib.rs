//! What arrives becomes actions: CloudEvents in each of their forms, and records of other shapes by
//! the mappings of source files.
//!
//! Nothing here knows Kafka or HTTP: a record is its headers and bytes, wherever it came from.

pub mod cloud_events;
pub mod formats;
pub mod record;
pub mod sources;
