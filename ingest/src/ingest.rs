//! Reading as a whole, as the program starts and ends it.

use std::sync::Arc;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use plaudit_event_store::CommandQueue;
use plaudit_event_store::pool::Deadlined;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::{self, IngestError};
use crate::health::IngestHealth;
use crate::options::IngestOptions;
use crate::session::SessionContext;

/// The time limit of one call to the database; it takes milliseconds if nothing is wrong.
pub const CALL_MAX: Duration = Duration::from_secs(3);

/// Reads topics and applies what their records mean, until it is told to stop.
#[derive(Debug)]
pub struct Ingest {
    health: Arc<IngestHealth>,
    stopped: CancellationToken,
    reading: Option<JoinHandle<()>>,
}

impl Ingest {
    /// Begins to read the topics of the options and those that the sources name. A broker that is not
    /// there, or a topic that is missing, is waited for.
    ///
    /// New sources take effect with the next record; topics that are new or gone, by joining the group
    /// again.
    ///
    /// Ends in order when `stopped` is cancelled: what was begun is committed, its offsets are
    /// stored, and the group is left. [`Self::join`] waits for that.
    pub fn start(
        options: IngestOptions,
        queue: CommandQueue,
        pool: &PgPool,
        sources: watch::Receiver<Arc<Sources>>,
        stopped: CancellationToken,
    ) -> Result<Self, IngestError> {
        let all = options.clone().with_topics_of(&sources.borrow());
        if all.topics.is_empty() {
            return Err(IngestError::NoTopics);
        }
        error::check(&all)?;
        let health = Arc::new(IngestHealth::default());
        let context = SessionContext {
            options,
            queue,
            database: Deadlined::new(pool, CALL_MAX),
            sources,
            health: Arc::clone(&health),
            stopped: stopped.clone(),
        };
        let first = context.start()?;
        let reading = Some(tokio::spawn(context.supervise(first)));
        Ok(Self { health, stopped, reading })
    }

    /// The problems, and the partitions that this process reads.
    pub fn health(&self) -> &Arc<IngestHealth> {
        &self.health
    }

    /// Waits for the end, which comes when `stopped` of [`Self::start`] is cancelled.
    pub async fn join(mut self) {
        if let Some(reading) = self.reading.take()
            && let Err(error) = reading.await
        {
            tracing::error!(%error, "the supervisor of reading has panicked");
        }
    }
}

impl Drop for Ingest {
    /// A dropped handle stops reading: nothing could stop it later.
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}
