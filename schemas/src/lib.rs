//! Records whose schema lies in a Confluent-compatible schema registry become JSON.
//!
//! A value names its schema by a number ([`wire`]). The [`registry`] fetches each schema once, keeps it
//! compiled, and decodes values by it ([`schema`]). Nothing here knows Kafka.

mod avro;
mod json_schema;
mod protobuf;
pub mod registry;
mod schema;
mod wire;

pub use registry::{InvalidUrl, SchemaRegistry};
