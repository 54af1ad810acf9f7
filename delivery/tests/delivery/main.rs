//! Delivery from a real `PostgreSQL` to a real Kafka and real endpoints.

mod answers;
mod deliverer;
mod event_topic;
mod examples;
mod failures;
mod limits;
mod outdated_answers;
mod payer;
mod published;
mod publishing_order;
mod redeliveries;
mod repeats;
mod restores;
mod revocations;
mod rewards;
mod stuck_lanes;
mod webhooks;
mod world;
