//! Decoding by the schemas of a registry.
//!
//! The answers are those of a real registry, Apicurio Registry 3.0.9 with its Confluent-compatible
//! interface, recorded in `apicurio-3.0.9.json`. The values were written by other implementations:
//! `fastavro` and Google's Protobuf for Python.

mod decoding;
mod failures;
mod recorded;
