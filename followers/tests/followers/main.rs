//! Followers on a real `PostgreSQL`.

mod heads;
mod leases;
mod world;
