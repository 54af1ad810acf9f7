//! Publishing real rewards from a real `PostgreSQL` to a real Kafka.

mod failures;
mod rewards;
mod world;
