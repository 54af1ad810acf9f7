//! The reader as a whole, as the program starts and stops it.

use std::sync::Arc;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use plaudit_event_store::CommandQueue;
use plaudit_event_store::pool::Deadlined;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::error::IngestError;
use crate::health::IngestHealth;
use crate::options::IngestOptions;
use crate::session::SessionContext;

/// Time limit of one call to the database. A call normally takes milliseconds.
pub const CALL_MAX: Duration = Duration::from_secs(3);

/// A handle to the reader, which reads topics and applies their records until it is stopped.
#[derive(Debug)]
pub struct Ingest {
    health: Arc<IngestHealth>,
    stopped: CancellationToken,
    reading: Option<JoinHandle<()>>,
}

impl Ingest {
    /// Starts to read the topics of the options and of the sources. Waits for brokers and topics
    /// that are missing.
    ///
    /// New sources take effect with the next record. If topics are added or removed, the reader
    /// joins the group again.
    ///
    /// Stops in order when `stopped` is cancelled: it commits the batches in flight, stores
    /// their offsets and leaves the group. [`Self::join`] waits for that.
    pub fn start(
        options: IngestOptions,
        queue: CommandQueue,
        pool: &PgPool,
        sources: watch::Receiver<Arc<Sources>>,
        stopped: CancellationToken,
    ) -> Result<Self, IngestError> {
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

    /// Returns the problems and the partitions that this process reads.
    pub fn health(&self) -> &Arc<IngestHealth> {
        &self.health
    }

    /// Waits until the reader has stopped. Cancel `stopped` of [`Self::start`] first.
    pub async fn join(mut self) {
        if let Some(reading) = self.reading.take()
            && let Err(error) = reading.await
        {
            tracing::error!(%error, "the supervisor of reading has panicked");
        }
    }
}

impl Drop for Ingest {
    /// Stops the reader: without the handle, nothing could stop it later.
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}
