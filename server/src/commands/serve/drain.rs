//! Stops a process in order: all parts end concurrently, within a common time limit.

use std::time::Duration;

use plaudit_delivery::{Delivery, EventTopic};
use plaudit_followers::Runner;
use plaudit_ingest::Ingest;

use super::Serving;

/// Time limit for requests after the signal to stop; longer than their deadline.
const REQUESTS_DRAIN: Duration = Duration::from_secs(5);

/// Time limit for all parts to end. A part that has not ended by then waits for a lane, a database
/// or a broker; its work is done again by the next process.
const DRAIN_MAX: Duration = Duration::from_secs(8);

/// Time limit for closing the connections to the database at the end.
const POOL_CLOSE: Duration = Duration::from_millis(500);

impl Serving {
    /// Waits until every part has ended, after the token of [`super::start`] was cancelled, but at
    /// most [`DRAIN_MAX`]. They end concurrently: none needs another to end first.
    pub async fn drain(self) {
        let Self { ingest, api, delivery, events, digests, rebuilds, backfills, pools } = self;
        rebuilds.stop.cancel();
        rebuilds.running.close();
        tokio::join!(
            ended("answering requests", REQUESTS_DRAIN, api.map(joined)),
            ended("reading", DRAIN_MAX, ingest.map(Ingest::join)),
            ended("a backfill", DRAIN_MAX, backfills.map(joined)),
            ended("delivery", DRAIN_MAX, delivery.map(Delivery::join)),
            ended("publishing events", DRAIN_MAX, events.map(EventTopic::join)),
            ended("the hash chains", DRAIN_MAX, digests.map(Runner::join)),
            ended("a rebuild", DRAIN_MAX, Some(rebuilds.running.wait())),
        );
        // A client that does not take its answer keeps the connection that it was read with.
        if tokio::time::timeout(POOL_CLOSE, pools.close()).await.is_err() {
            tracing::warn!("some connections to the database were still in use at the end");
        }
    }
}

/// Waits for the end of a part, if it runs, with a time limit.
async fn ended(part: &str, at_most: Duration, end: Option<impl Future<Output = ()>>) {
    let Some(end) = end else { return };
    if tokio::time::timeout(at_most, end).await.is_err() {
        tracing::warn!(
            "{part} had not ended {} s after the signal; uncommitted work is repeated after the next start",
            at_most.as_secs()
        );
    }
}

async fn joined(task: tokio::task::JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a part has panicked");
    }
}
