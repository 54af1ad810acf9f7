//! Views, their rebuild and their verification on a real `PostgreSQL`.

mod core_views;
mod distinct_values;
mod rebuild;
mod support;
mod swap;
mod unreadable;
mod verify;
