//! Reading real topics of a real Kafka into a real `PostgreSQL`.

mod backfills;
mod connecting;
mod failures;
mod groups;
mod mapping;
mod pressure;
mod records;
mod topics;
mod transactions;
mod wire;
mod world;
