//! Code shared by all followers: they read the log lane by lane, each lane from its checkpoint.
//!
//! A follower is a [`Handler`]; [`Runner`] feeds it. The lanes are leased in groups, so that
//! several processes share them. A lease is a row that expires: a frozen process loses its lanes
//! after [`LEASE`]. When it wakes up, it can't move their checkpoints any more, because the epoch
//! of the lease has risen. Nothing here holds a lock beyond a transaction.

pub mod bounded;
mod cursor;
mod handler;
mod heads;
mod health;
mod lease;
mod runner;
mod skipped;

pub use cursor::backoff;
pub use handler::{Handler, LaneOutcome, Span};
pub use heads::{HeadWatch, Heads, NotReached};
pub use health::{FollowerHealth, Subject, UNREADY_AFTER, USERS_NAMED_MAX};
pub use lease::LEASE;
pub use runner::{HeldLanes, ROUND_MAX, Runner};
pub use skipped::Skipped;
