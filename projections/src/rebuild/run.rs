//! What the parts of a running rebuild share: where they work, and when they stop.

use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::ExecuteError;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Phase;
use crate::ProjectionError;
use crate::view::View;

/// A running rebuild.
#[derive(Clone)]
pub(crate) struct Run {
    pub pool: PgPool,
    pub view: View,
    pub workers: usize,
    pub chunk_events: i64,
    pub shutdown: CancellationToken,
}

/// Why a rebuild goes no further for now.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The process ends; another call goes on.
    Interrupted,
    /// Somebody gave it up.
    Cancelled,
    Failed(ProjectionError),
}

impl<E: Into<ProjectionError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How often a paused rebuild looks whether it may go on.
const PAUSE_POLL: Duration = Duration::from_millis(500);

impl Run {
    /// Waits while the rebuild is paused. Asked before each chunk.
    pub async fn proceed(&self) -> Result<(), Halt> {
        loop {
            if self.shutdown.is_cancelled() {
                return Err(Halt::Interrupted);
            }
            let state: String =
                sqlx::query_scalar("select state from rebuilds where projection = $1")
                    .bind(self.view.name())
                    .fetch_one(&self.pool)
                    .await?;
            match state.as_str() {
                "running" => return Ok(()),
                "paused" => {
                    let pause = tokio::time::sleep(PAUSE_POLL);
                    let _ = self.shutdown.run_until_cancelled(pause).await;
                }
                _ => return Err(Halt::Cancelled),
            }
        }
    }

    /// Tells what the rebuild is at.
    pub async fn enter(&self, phase: Phase) -> Result<(), Halt> {
        self.proceed().await?;
        sqlx::query("update rebuilds set phase = $2 where projection = $1")
            .bind(self.view.name())
            .bind(phase.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Does `work` in every lane, in as many as there are workers at a time. The first failure ends
    /// the others, and so does dropping the future.
    pub async fn each_lane<W, F, T>(&self, lanes: Vec<Lane>, work: W) -> Result<Vec<T>, Halt>
    where
        W: Fn(Self, Lane) -> F,
        F: Future<Output = Result<T, Halt>> + Send + 'static,
        T: Send + 'static,
    {
        let mut waiting = lanes.into_iter();
        let mut at_work = JoinSet::new();
        for lane in waiting.by_ref().take(self.workers) {
            at_work.spawn(work(self.clone(), lane));
        }
        let mut done = Vec::new();
        while let Some(joined) = at_work.join_next().await {
            let unfinished = |e: tokio::task::JoinError| {
                ExecuteError::Unreadable(format!("the work on a lane did not end: {e}"))
            };
            match joined.map_err(|e| Halt::from(unfinished(e))).and_then(|ended| ended) {
                Ok(ended) => done.push(ended),
                Err(halt) => {
                    at_work.shutdown().await;
                    return Err(halt);
                }
            }
            if let Some(lane) = waiting.next() {
                at_work.spawn(work(self.clone(), lane));
            }
        }
        Ok(done)
    }

    /// All lanes of the rebuild, in order.
    pub async fn lanes(&self) -> sqlx::Result<Vec<Lane>> {
        let lanes: Vec<i16> = sqlx::query_scalar(
            "select lane from rebuild_lanes where projection = $1 order by lane",
        )
        .bind(self.view.name())
        .fetch_all(&self.pool)
        .await?;
        Ok(lanes.into_iter().map(Lane).collect())
    }
}
