//! Decodes records to JSON by their schemas in a Confluent-compatible schema registry.
//!
//! A value names its schema by a number ([`wire`]). The [`registry`] fetches each schema once,
//! keeps it compiled, and decodes values by it ([`schema`]). This crate knows nothing of Kafka.

mod avro;
mod json_schema;
mod protobuf;
pub mod registry;
mod schema;
mod wire;

pub use registry::{InvalidUrl, SchemaRegistry};
