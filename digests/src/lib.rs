//! The hash chain of each user's events: proof that nothing was changed since it was made.
//!
//! A follower of the log writes the digest of each user's last event a moment after the batch, so that no batch
//! computes it. [`verify`] makes it again from the log and compares. Nothing here understands an event.

mod chain;
mod follower;
pub mod verify;

use std::sync::Arc;

use plaudit_followers::{FollowerHealth, HeadWatch, Runner};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub use chain::Digest;
use follower::DigestFollower;

/// The name of the follower's checkpoints and leases.
pub const FOLLOWER: &str = "digests";

/// Starts the follower. It ends in order when `stop` is cancelled.
pub fn start(pool: &PgPool, heads: Arc<HeadWatch>, stop: CancellationToken) -> Runner {
    let health = Arc::new(FollowerHealth::new(FOLLOWER));
    let handler = {
        let pool = pool.clone();
        move || DigestFollower { pool: pool.clone() }
    };
    Runner::start(FOLLOWER, handler, pool, heads, health, stop)
}
