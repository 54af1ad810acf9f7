//! Code that reads the log by lane from a checkpoint: what every such follower shares.
//!
//! A follower is a [`Handler`]; [`Runner`] feeds it. The lanes are leased in groups, so that several
//! processes share them. A lease is a row that expires: a process that is frozen loses its lanes
//! after [`LEASE`], and what it still does when it wakes up moves no checkpoint, because the epoch
//! of the lease has risen. Nothing here holds a lock beyond a transaction.
//!
//! Every call to the database has a deadline on this side. A connection that missed it is closed
//! and never given back to the pool.

pub mod bounded;
mod cursor;
mod handler;
mod heads;
mod health;
mod lease;
mod runner;
mod skipped;

pub use handler::{Handler, LaneOutcome, Span};
pub use heads::{HeadWatch, Heads, NotReached};
pub use health::{FollowerHealth, Subject, UNREADY_AFTER, USERS_NAMED_MAX};
pub use lease::LEASE;
pub use runner::{HeldLanes, ROUND_MAX, Runner};
pub use skipped::Skipped;
