//! The hash chain of each user's events: proof that no event was changed after its digest was
//! stored.
//!
//! A follower of the log stores the digest of each user's last event shortly after the batch has
//! committed, so batches compute no digests. [`verify`] recomputes them from the log and compares.
//! Nothing in this crate interprets an event.

mod chain;
mod follower;
mod stored;
pub mod verify;

use std::sync::Arc;

use plaudit_followers::{FollowerHealth, HeadWatch, Runner};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

pub use chain::Digest;
use follower::DigestFollower;

/// The name of the follower's checkpoints and leases.
pub const FOLLOWER: &str = "digests";

/// Starts the follower. It shuts down cleanly when `stop` is cancelled.
pub fn start(pool: &PgPool, heads: Arc<HeadWatch>, stop: CancellationToken) -> Runner {
    let health = Arc::new(FollowerHealth::new(FOLLOWER));
    let handler = {
        let pool = pool.clone();
        move || DigestFollower { pool: pool.clone() }
    };
    Runner::start(FOLLOWER, handler, pool, heads, health, stop)
}
