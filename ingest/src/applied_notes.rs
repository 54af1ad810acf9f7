//! Notes in the database what all lanes have applied. The notes may be late: they serve to notice
//! gaps and topics that were created again, and to begin not too far back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event_store::sources;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::SourcePartition;
use crate::tracker::End;

/// The newest ends of partitions.
pub type Ends = HashMap<SourcePartition, End>;

/// How often they are noted.
const EVERY: Duration = Duration::from_secs(1);

/// Notes ends until nobody gives any more, the last ones included.
pub async fn keep(pool: PgPool, mut ends: watch::Receiver<Ends>) {
    let mut noted = Ends::new();
    loop {
        let closed = ends.has_changed().is_err();
        let now = ends.borrow_and_update().clone();
        let mut news: HashMap<(Arc<str>, i32), HashMap<i32, i64>> = HashMap::new();
        for (at, end) in now.iter().filter(|(at, end)| noted.get(*at) != Some(*end)) {
            let key = (Arc::clone(&at.topic), end.incarnation);
            news.entry(key).or_default().insert(at.partition, end.next_offset);
        }
        match note(&pool, news).await {
            Ok(()) => noted = now,
            // Those who apply say that the database is away.
            Err(error) => tracing::debug!(%error, "applied offsets were not noted"),
        }
        if closed {
            return;
        }
        // The second ends early with the last sender.
        let _ = tokio::time::timeout(EVERY, ends.wait_for(|_| false)).await;
    }
}

async fn note(
    pool: &PgPool,
    news: HashMap<(Arc<str>, i32), HashMap<i32, i64>>,
) -> sqlx::Result<()> {
    for ((topic, incarnation), next_offsets) in news {
        sources::note_applied(pool, &topic, incarnation, next_offsets).await?;
    }
    Ok(())
}
