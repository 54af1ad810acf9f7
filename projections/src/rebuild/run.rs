//! Shared state of the steps of a running rebuild: connections, workers, and the reasons to stop.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::{ExecuteError, pool};
use sqlx::{PgConnection, PgPool};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::apply::LaneFolds;
use super::lease::Lease;
use super::{Phase, RebuildOptions, progress};
use crate::ProjectionError;
use crate::view::View;

/// Number of connections for the lease, the progress and the detection of silence.
pub(super) const QUESTIONS: u32 = 3;

/// A running rebuild.
#[derive(Clone)]
pub(crate) struct Run {
    /// The rebuild's own connections for the work, one for each worker.
    pub pool: PgPool,
    /// The name of the sessions of `pool`.
    pub session_name: String,
    /// [`QUESTIONS`] further connections.
    pub questions: PgPool,
    pub silence_max: Duration,
    pub view: View,
    pub workers: usize,
    pub chunk_events: i64,
    pub shutdown: CancellationToken,
    pub lane_count: usize,
    pub lease: Lease,
    folds: Arc<Mutex<BTreeMap<Lane, LaneFolds>>>,
}

/// The reason why a rebuild stops.
#[derive(Debug)]
pub(crate) enum StopReason {
    /// The process ends; the next call resumes the rebuild.
    Interrupted,
    /// An operator cancelled it.
    Cancelled,
    /// Another process took the lease.
    Lost,
    Failed(ProjectionError),
}

impl<E: Into<ProjectionError>> From<E> for StopReason {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Interval at which a paused rebuild checks whether it may go on.
const PAUSE_POLL: Duration = Duration::from_millis(500);

impl Run {
    /// Makes a run whose work has connections of its own to the database of `pool`.
    pub async fn new(
        pool: &PgPool,
        questions: PgPool,
        view: View,
        options: RebuildOptions,
        lease: Lease,
        shutdown: CancellationToken,
    ) -> sqlx::Result<Self> {
        let workers = options.workers.max(1);
        let connections = u32::try_from(workers).unwrap_or(u32::MAX);
        let session_name = format!("plaudit rebuild {} {}", view.name(), lease.epoch());
        let own = pool::reserved_probing_as(&session_name, pool, connections);
        let lanes: i64 = sqlx::query_scalar("select count(*) from lanes").fetch_one(&own).await?;
        Ok(Self {
            pool: own,
            session_name,
            questions,
            silence_max: options.silence_max,
            view,
            workers,
            chunk_events: i64::from(options.chunk_events.max(1)),
            shutdown,
            lane_count: usize::try_from(lanes).unwrap_or(1),
            lease,
            folds: Arc::default(),
        })
    }

    /// Takes the folded users of a lane out of the cache.
    pub fn take_folds(&self, lane: Lane) -> LaneFolds {
        self.folds().remove(&lane).unwrap_or_default()
    }

    /// Puts the folded users of a lane back into the cache.
    pub fn keep_folds(&self, lane: Lane, folds: LaneFolds) {
        self.folds().insert(lane, folds);
    }

    fn folds(&self) -> MutexGuard<'_, BTreeMap<Lane, LaneFolds>> {
        self.folds.lock().expect("nothing panics while it holds the lock")
    }

    /// Waits while the rebuild is paused; fails if it must stop. Called before each chunk.
    pub async fn proceed(&self, connection: &mut PgConnection) -> Result<(), StopReason> {
        loop {
            if self.shutdown.is_cancelled() {
                return Err(StopReason::Interrupted);
            }
            let (state, is_mine) = progress::state(self.view, self.lease, connection).await?;
            match state.as_str() {
                _ if !is_mine => return Err(StopReason::Lost),
                "running" => return Ok(()),
                "paused" => {
                    let pause = tokio::time::sleep(PAUSE_POLL);
                    let _ = self.shutdown.run_until_cancelled(pause).await;
                }
                _ => return Err(StopReason::Cancelled),
            }
        }
    }

    /// Stores the current step of the rebuild.
    pub async fn enter(&self, phase: Phase) -> Result<(), StopReason> {
        let mut connection = self.pool.acquire().await?;
        self.proceed(&mut connection).await?;
        Ok(progress::enter(self.view, phase, self.lease, &mut connection).await?)
    }

    /// Runs `work` for every share, such as a lane, for as many at a time as there are workers. The
    /// first failure ends the others, and so does dropping the future.
    pub async fn each<S, W, F, T>(&self, shares: Vec<S>, work: W) -> Result<Vec<T>, StopReason>
    where
        W: Fn(Self, S) -> F,
        F: Future<Output = Result<T, StopReason>> + Send + 'static,
        T: Send + 'static,
    {
        let mut waiting = shares.into_iter();
        let mut at_work = JoinSet::new();
        for share in waiting.by_ref().take(self.workers) {
            at_work.spawn(work(self.clone(), share));
        }
        let mut done = Vec::new();
        while let Some(joined) = at_work.join_next().await {
            let unfinished = |e: tokio::task::JoinError| {
                ExecuteError::Unreadable(format!("a rebuild's worker did not end: {e}"))
            };
            match joined.map_err(|e| StopReason::from(unfinished(e))).and_then(|ended| ended) {
                Ok(ended) => done.push(ended),
                Err(reason) => {
                    at_work.shutdown().await;
                    return Err(reason);
                }
            }
            if let Some(share) = waiting.next() {
                at_work.spawn(work(self.clone(), share));
            }
        }
        Ok(done)
    }

    /// All lanes of the rebuild, in order.
    pub async fn lanes(&self) -> sqlx::Result<Vec<Lane>> {
        progress::lanes(self.view, &self.pool).await
    }
}
