//! Records in the database what all lanes have applied. The records may be late: they serve to
//! notice gaps and topics that were created again, and to begin not too far back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::sources;
use tokio::sync::watch;

use super::tracker::NextOffsets;

/// How often progress is recorded.
const EVERY: Duration = Duration::from_secs(1);

/// Records next offsets until the sender is dropped, the last ones included.
pub async fn run(database: Deadlined, mut progress: watch::Receiver<NextOffsets>) {
    let mut recorded = NextOffsets::new();
    loop {
        let closed = progress.has_changed().is_err();
        let now = progress.borrow_and_update().clone();
        let mut news: HashMap<(Arc<str>, i32), HashMap<i32, i64>> = HashMap::new();
        for (at, next) in now.iter().filter(|(at, next)| recorded.get(*at) != Some(*next)) {
            let key = (Arc::clone(&at.topic), next.incarnation);
            news.entry(key).or_default().insert(at.partition, next.offset);
        }
        match record(&database, news).await {
            Ok(()) => recorded = now,
            // The workers report that the database is away.
            Err(error) => tracing::debug!(%error, "applied offsets were not recorded"),
        }
        if closed {
            return;
        }
        // Ends before the second is over when the sender is dropped.
        let _ = tokio::time::timeout(EVERY, progress.wait_for(|_| false)).await;
    }
}

async fn record(
    database: &Deadlined,
    news: HashMap<(Arc<str>, i32), HashMap<i32, i64>>,
) -> sqlx::Result<()> {
    for ((topic, incarnation), next_offsets) in news {
        let note = |pool| async move {
            sources::note_applied(&pool, &topic, incarnation, next_offsets).await
        };
        database.call(note).await?;
    }
    Ok(())
}
