//! Converts records and requests into actions: CloudEvents in all their forms, and records of other
//! shapes by the mappings of source files.
//!
//! Independent of Kafka and HTTP clients: a record is its headers and bytes, whatever its origin.

pub mod cloud_events;
pub mod formats;
pub mod memory;
pub mod record;
pub mod sources;
pub mod topic_name;
