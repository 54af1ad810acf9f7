//! What `plaudit dev` adds to a server: private services, tokens, sample tasks, sample traffic.

pub mod services;
pub mod tokens;
pub mod topics;
pub mod traffic;
