//! The parts that `plaudit dev` adds to a server: private services, tokens, sample traffic,
//! commands to try.

pub mod announcement;
pub mod examples;
pub mod folder;
pub mod sample;
pub mod services;
pub mod tokens;
pub mod topics;
pub mod traffic;
