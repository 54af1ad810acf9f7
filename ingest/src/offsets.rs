//! The offsets that are read, applied and may be stored. Pure, except for the progress recorder.

pub mod assigned_partitions;
pub mod partition_state;
pub mod progress_recorder;
pub mod query;
pub mod tracker;
