//! Tests that read real Kafka topics into a real `PostgreSQL` database.

mod backfills;
mod connecting;
mod failures;
mod groups;
mod mapping;
mod new_sources;
mod pressure;
mod records;
mod schemas;
mod silence;
mod topics;
mod transactions;
mod wire;
mod world;
