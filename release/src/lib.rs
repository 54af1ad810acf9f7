//! Releases or discards parked records, as an operator decides.
//!
//! A record takes the same way as before: through its source mapping, if its topic has one, and
//! then to the executor, which applies its actions and stores the decision in one transaction. So
//! nothing is lost or applied twice if the process dies in between: applied actions are recognised
//! by their identities, and the record stays parked until the decision is stored.

mod error;
mod meaning;
mod report;
mod resolve;

pub use error::ResolveError;
pub use report::ReleaseReport;
pub use resolve::{InvalidReason, Operator, Released, Resolver, Stopped};
