//! What `plaudit dev` adds to a server: private services, tokens, sample traffic, and what to try.

pub mod announcement;
pub mod folder;
pub mod services;
pub mod tokens;
pub mod topics;
pub mod traffic;
