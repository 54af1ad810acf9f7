//! One file per subcommand; each wires parts together and does nothing else.

pub mod audit;
pub mod bench;
pub mod config;
mod corrections;
pub mod dev;
pub mod ingest;
pub mod migrate;
pub mod parked;
pub mod projections;
pub mod rewards;
pub mod serve;
pub mod sources;
pub mod streaks;
pub mod tasks;
