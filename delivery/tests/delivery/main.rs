//! Publishing real rewards from a real `PostgreSQL` to a real Kafka.

mod event_topic;
mod examples;
mod failures;
mod limits;
mod payer;
mod redeliveries;
mod restores;
mod revocations;
mod rewards;
mod stuck_lanes;
mod webhooks;
mod world;
