//! Records in the database which offsets all lanes have applied. The record may be late: it serves
//! to notice gaps and recreated topics, and to avoid beginning too far back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::sources;
use tokio::sync::watch;

use super::tracker::NextOffsets;

/// Interval between records.
const EVERY: Duration = Duration::from_secs(1);

/// Records next offsets until the sender is dropped, including the last ones.
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
            // The workers report a database that does not answer.
            Err(error) => tracing::debug!(%error, "applied offsets were not recorded"),
        }
        if closed {
            return;
        }
        // Returns early once the sender is dropped.
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
