//! The partitions of `seen_actions`: made before they are needed, dropped when nobody looks into them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::sync::OnceCell;

use crate::schema;

/// How long to wait before what was not possible is tried again: a dump of the database, for one, holds
/// the table for as long as it takes.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Sees to the partitions, never while lanes are held: the partition of the generation that begins was
/// made when the one before began.
pub(super) struct Generations {
    pool: PgPool,
    first: OnceCell<()>,
    prepared: Arc<AtomicI32>,
}

impl Generations {
    pub fn new(pool: PgPool) -> Self {
        Self { pool, first: OnceCell::new(), prepared: Arc::new(AtomicI32::new(i32::MIN)) }
    }

    /// Before the first batch of this process: it may have been away for weeks.
    pub async fn before_the_first_batch(&self) -> sqlx::Result<()> {
        let prepare = async || {
            let generation = schema::prepare_seen_generations(&self.pool).await?;
            self.prepared.store(generation, Ordering::Relaxed);
            Ok(())
        };
        self.first.get_or_try_init(prepare).await.copied()
    }

    /// A batch runs in this generation. If it is new, the next one's partition is made, and the oldest
    /// dropped, beside the batches.
    pub fn running(&self, generation: i32) {
        if self.prepared.fetch_max(generation, Ordering::Relaxed) >= generation {
            return;
        }
        let pool = self.pool.clone();
        tokio::spawn(async move {
            while let Err(error) = schema::prepare_seen_generations(&pool).await {
                if pool.is_closed() {
                    return;
                }
                tracing::warn!(%error, "the partitions of seen_actions can't be changed now; it is tried again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
    }
}
