//! Journeys, crash loops and benchmarks against real PostgreSQL and Kafka.

pub mod bench;
pub mod soak;
