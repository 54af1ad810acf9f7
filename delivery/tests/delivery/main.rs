//! Publishing real rewards from a real `PostgreSQL` to a real Kafka.

mod event_topic;
mod examples;
mod failures;
mod payer;
mod revocations;
mod rewards;
mod webhooks;
mod world;
