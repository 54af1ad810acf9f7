//! The soak test and the benchmarks, against real PostgreSQL and Kafka.

pub mod bench;
pub mod soak;
