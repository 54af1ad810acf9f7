//! Reading real topics of a real Kafka into a real `PostgreSQL`.

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
