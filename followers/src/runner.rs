//! The loop around a handler: it chooses the lanes and positions, and retries after failures.

use std::sync::Arc;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use plaudit_event_store::pool;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cursor::{Cursor, backoff};
use crate::handler::Handler;
use crate::heads::{HeadWatch, Heads};
use crate::health::{FollowerHealth, Subject};
use crate::lease::Leases;

/// Time limit for one round. Then it is dropped, and the next one starts at the checkpoints.
pub const ROUND_MAX: Duration = Duration::from_secs(20);

/// Interval between reads of the heads while there is nothing to do.
const IDLE_PACE: Duration = Duration::from_millis(50);

/// Longest wait for new events before the loop checks its leases and suspended lanes.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Time limit for the current round once the process is to stop. Work that it could not store by
/// then is done again by the next process.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Pause between a panic of the handler and its restart.
const RESTART_AFTER: Duration = Duration::from_secs(5);

/// A running follower.
#[derive(Debug)]
pub struct Runner {
    health: Arc<FollowerHealth>,
    held: HeldLanes,
    task: JoinHandle<()>,
}

/// The lanes that a follower holds in this process, for work outside its rounds.
#[derive(Clone)]
pub struct HeldLanes(Arc<Leases>);

impl HeldLanes {
    /// Returns the lanes whose lease has not expired.
    pub fn now(&self) -> Vec<Lane> {
        self.0.held().into_keys().collect()
    }

    /// The number of processes that share the lanes of the follower, this one included.
    pub fn processes(&self) -> usize {
        self.0.processes()
    }
}

impl std::fmt::Debug for HeldLanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HeldLanes").field(&self.now()).finish()
    }
}

impl Runner {
    /// Starts a follower. Its checkpoints are stored under its name, which must never change.
    /// `handler` is called again after a panic. The leases are kept on a connection of their own to
    /// the database of `pool`.
    ///
    /// The follower stops in order when `stop` is cancelled; [`Self::join`] waits for that.
    pub fn start<H: Handler>(
        follower: &'static str,
        handler: impl Fn() -> H + Send + 'static,
        pool: &PgPool,
        heads: Arc<HeadWatch>,
        health: Arc<FollowerHealth>,
        stop: CancellationToken,
    ) -> Self {
        let leases = Arc::new(Leases::new(follower, pool::reserved(pool, 1), Arc::clone(&health)));
        let held = HeldLanes(Arc::clone(&leases));
        let task = tokio::spawn(run(handler, leases, heads, Arc::clone(&health), stop));
        Self { health, held, task }
    }

    /// The lanes that the follower holds in this process.
    pub fn held_lanes(&self) -> HeldLanes {
        self.held.clone()
    }

    /// The health of the follower.
    pub fn health(&self) -> &Arc<FollowerHealth> {
        &self.health
    }

    /// Waits for the end of the follower, after the token of [`Self::start`] was cancelled.
    pub async fn join(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "a follower has panicked");
        }
    }
}

/// Keeps the leases while rounds are run, and gives them back after the last one.
async fn run<H: Handler>(
    handler: impl Fn() -> H,
    leases: Arc<Leases>,
    heads: Arc<HeadWatch>,
    health: Arc<FollowerHealth>,
    stop: CancellationToken,
) {
    let keeping = {
        let (leases, stop) = (Arc::clone(&leases), stop.clone());
        tokio::spawn(async move { leases.keep(stop).await })
    };
    loop {
        let rounds = Rounds {
            handler: handler(),
            leases: Arc::clone(&leases),
            heads: Arc::clone(&heads),
            health: Arc::clone(&health),
            cursor: Cursor::default(),
            is_stale: true,
            idle_at: Instant::now(),
            stop: stop.clone(),
        };
        let Err(error) = tokio::spawn(rounds.run()).await else { break };
        health.round_ends();
        let text = format!("a follower ended unexpectedly and is restarted: {error}");
        health.report(Subject::Task, text);
        if tokio::time::timeout(RESTART_AFTER, stop.cancelled()).await.is_ok() {
            break;
        }
    }
    if let Err(error) = keeping.await {
        tracing::error!(%error, "the leases of a follower were no longer kept");
    }
    leases.give_back().await;
}

struct Rounds<H> {
    handler: H,
    leases: Arc<Leases>,
    heads: Arc<HeadWatch>,
    health: Arc<FollowerHealth>,
    cursor: Cursor,
    /// True if the cursor may be wrong: the checkpoints must be read again first.
    is_stale: bool,
    /// The last call of [`Handler::idle`].
    idle_at: Instant,
    stop: CancellationToken,
}

impl<H: Handler> Rounds<H> {
    async fn run(mut self) {
        let (stop, mut waits) = (self.stop.clone(), backoff());
        let mut heads = self.heads.heads();
        while !stop.is_cancelled() {
            let too_late = async {
                stop.cancelled().await;
                tokio::time::sleep(STOP_MAX).await;
            };
            let turn = tokio::select! {
                turn = self.turn(&mut heads) => turn,
                () = too_late => break,
            };
            self.health.round_ends();
            match turn {
                Ok(()) => {
                    waits = backoff();
                    self.health.resolve(&Subject::Round);
                    self.health.resolve(&Subject::Task);
                }
                Err(reason) => {
                    metrics::counter!("plaudit_follower_failures_total").increment(1);
                    self.health.report(Subject::Round, reason);
                    self.is_stale = true;
                    let wait = waits.next().unwrap_or_default();
                    let _ = tokio::time::timeout(wait, stop.cancelled()).await;
                }
            }
        }
        self.health.round_ends();
        self.handler.close().await;
    }

    /// Runs one round if there is anything to do; else waits until there may be.
    async fn turn(&mut self, heads: &mut Heads) -> Result<(), String> {
        if self.is_stale {
            self.cursor = Cursor::default();
            self.leases.reread().await.map_err(|error| error.to_string())?;
            self.is_stale = false;
        }
        self.cursor.adopt(self.leases.held());
        self.health.forget_lanes(|lane| self.cursor.contains(lane));
        let spans = self.cursor.due(heads, Instant::now());
        if spans.is_empty() {
            self.wait_for_news(heads).await?;
            if self.idle_at.elapsed() > IDLE_MAX && !self.cursor.is_empty() {
                self.idle_at = Instant::now();
                self.handler.idle().await;
            }
            return Ok(());
        }
        self.health.round_begins();
        let round = tokio::time::timeout(ROUND_MAX, self.handler.handle(&spans));
        let outcomes = round.await.unwrap_or_else(|_| {
            Err(format!("a round was given up after {} s", ROUND_MAX.as_secs()))
        })?;
        for outcome in outcomes {
            let lane = outcome.lane();
            match self.cursor.settle(outcome) {
                Some((lane, reason)) => self.health.report(Subject::Lane(lane), reason),
                None => self.health.resolve(&Subject::Lane(lane)),
            }
        }
        Ok(())
    }

    async fn wait_for_news(&self, heads: &mut Heads) -> Result<(), String> {
        if self.cursor.is_empty() {
            // Another process follows, or the leases are being taken.
            let _ = tokio::time::timeout(IDLE_MAX, self.until_woken()).await;
            return Ok(());
        }
        let latest = Instant::now() + IDLE_MAX;
        let deadline = self.cursor.resumes_at().map_or(latest, |at| at.min(latest));
        tokio::select! {
            read = self.heads.changed_from(heads, IDLE_PACE, deadline) => {
                *heads = read.map_err(|error| error.to_string())?;
            }
            () = self.until_woken() => {}
        }
        Ok(())
    }

    async fn until_woken(&self) {
        tokio::select! {
            () = self.leases.changed() => {}
            () = self.stop.cancelled() => {}
        }
    }
}
