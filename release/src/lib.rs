//! Parked records are applied after all, or discarded, as an operator decides.
//!
//! A record goes the way it went before: through its source mapping, if its topic has one, and then to the
//! executor, which applies its actions and notes the decision in one transaction. So nothing is lost or applied
//! twice if the process dies in between: what was applied is remembered by its identity, and what was not is
//! still parked.

mod error;
mod meaning;
mod resolve;

pub use error::ResolveError;
pub use resolve::{InvalidReason, Operator, Released, Resolver, Stopped};
