//! Backfills: a new task counts past actions by reading the topics again, beside the live traffic.
//!
//! Each process that reads topics runs one worker, which leases a backfill that no other worker
//! holds. The worker settles where the past ends in each lane, plans which records to read
//! ([`plan`]), and reads them in chunks ([`reader`]) without joining a group. It submits the
//! actions that the task may count to the queue as background work, and records its progress once
//! they are committed. Records that are read twice are recognised when they are applied.

mod counting;
pub mod plan;
mod reader;
mod release;

use std::sync::Arc;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use plaudit_domain::catalogue::Status;
use plaudit_domain::lane::Lane;
use plaudit_event_store::backfills::lease::{self, Lease};
use plaudit_event_store::backfills::{BackfillState, bounds};
use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::{
    Applied, CommandQueue, ExecuteError, Item, Kind, Origin, SettleBackfills,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::options::IngestOptions;

/// Interval at which an idle worker looks for a backfill.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Seconds before any process retries a backfill that makes no progress.
const REST_SECONDS: f64 = 5.0;

/// Interval between renewals of the lease while background work waits for the live traffic.
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// The context of a backfill worker. Cheap to clone.
#[derive(Clone)]
pub struct BackfillWorker {
    /// The options of the live reader.
    pub options: Arc<IngestOptions>,
    /// The read limit, in records per second.
    pub records_per_second: u32,
    /// The queue that applies the actions.
    pub queue: CommandQueue,
    /// The database, for leases and progress.
    pub database: Deadlined,
    /// The source mappings in force.
    pub sources: watch::Receiver<Arc<Sources>>,
    /// Cancelled for an orderly stop.
    pub stopped: CancellationToken,
}

/// The reason why a step of a backfill stopped.
#[derive(Debug)]
enum StopReason {
    /// Another process has taken the backfill, an operator has paused or cancelled it, or this
    /// process is stopping.
    NotOurs,
    /// The backfill makes no progress. Holds the reason, which is shown to operators.
    Stuck(String),
}

impl From<sqlx::Error> for StopReason {
    fn from(error: sqlx::Error) -> Self {
        Self::Stuck(format!("the database: {error}"))
    }
}

impl From<Arc<ExecuteError>> for StopReason {
    fn from(error: Arc<ExecuteError>) -> Self {
        Self::Stuck(error.to_string())
    }
}

impl BackfillWorker {
    /// Spawns the worker, which runs until `stopped` is cancelled.
    pub fn start(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            let holder = Uuid::new_v4();
            while !self.stopped.is_cancelled() {
                let take = |pool| async move { lease::take(&pool, holder).await };
                match self.database.call(take).await {
                    Ok(Some(lease)) => self.attend(&lease).await,
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "backfills can't be looked up"),
                }
                let _ = tokio::time::timeout(LOOK_EVERY, self.stopped.cancelled()).await;
            }
        })
    }

    /// Works on a leased backfill until it is done or can't continue, then returns the lease.
    async fn attend(&self, lease: &Lease) {
        let task = &lease.task;
        let ended = match (&lease.release, lease.state.is_open()) {
            (Some(request), false) => self.release(lease, request).await,
            _ => self.backfill(lease).await,
        };
        let rest = match ended {
            Ok(()) => return tracing::info!(%task, "the work on a backfill is done"),
            Err(StopReason::NotOurs) => 0.0,
            Err(StopReason::Stuck(problem)) => {
                tracing::warn!(%task, "the backfill makes no progress: {problem}");
                let (lease, problem) = (lease, &problem);
                let report = |pool| async move { lease.report(&pool, problem).await };
                if let Err(error) = self.database.call(report).await {
                    tracing::debug!(%error, "can't record why a backfill makes no progress");
                }
                REST_SECONDS
            }
        };
        let give_back = |pool| async move { lease.give_back(&pool, rest).await };
        if let Err(error) = self.database.call(give_back).await {
            tracing::debug!(%error, "a lease was not given back, and expires");
        }
    }

    /// Returns the options with the topics that the sources map now.
    fn options_now(&self) -> Arc<IngestOptions> {
        let options = IngestOptions::clone(&self.options);
        Arc::new(options.with_topics_of(&self.sources.borrow()))
    }

    async fn backfill(&self, lease: &Lease) -> Result<(), StopReason> {
        self.check_task(lease).await?;
        self.settle(lease).await?;
        if !lease.is_planned {
            let planned = plan::of_backfill(lease, &self.options_now(), &self.database).await?;
            let records: i64 = planned.iter().map(|p| p.end_offset - p.start_offset).sum();
            tracing::info!(task = %lease.task, records, "a backfill begins");
            let planned = &planned;
            let plan = |pool| async move { lease.plan(&pool, planned).await };
            if !self.database.call(plan).await? {
                return Err(StopReason::NotOurs);
            }
        }
        self.count(lease).await
    }

    /// Fails if the task takes no actions at present; its backfill then waits.
    async fn check_task(&self, lease: &Lease) -> Result<(), StopReason> {
        let newest = |pool| async move { self.queue.catalogue().newest(&pool).await };
        let catalogue = self.database.call(newest).await.map_err(Arc::new)?;
        match catalogue.task(&lease.task).map(|task| task.status) {
            Some(Status::Active) => Ok(()),
            Some(Status::Paused) => Err(StopReason::Stuck(
                "the task is paused; the backfill continues when it is resumed".to_owned(),
            )),
            Some(Status::Retired) | None => Err(StopReason::NotOurs),
        }
    }

    /// Settles where the past ends in every lane, including lanes without traffic.
    async fn settle(&self, lease: &Lease) -> Result<(), StopReason> {
        let unsettled = |pool| async move { bounds::unsettled_lanes(&pool, &lease.task).await };
        let lanes = self.database.call(unsettled).await?;
        if lanes.is_empty() {
            return Ok(());
        }
        let origin = Origin::Backfill { task: lease.task.clone(), from: None };
        let item = |lane: Lane| Item { lane, work: SettleBackfills, origin: origin.clone() };
        self.apply(lease, lanes.into_iter().map(item).collect()).await?;
        Ok(())
    }

    /// Applies items as background work and renews the lease meanwhile.
    async fn apply<K: Kind>(
        &self,
        lease: &Lease,
        items: Vec<Item<K>>,
    ) -> Result<Vec<Applied<K::Answer>>, StopReason> {
        let mut submission = self.queue.submit(items);
        loop {
            tokio::select! {
                applied = &mut submission => return Ok(applied?),
                () = self.stopped.cancelled() => return Err(StopReason::NotOurs),
                () = tokio::time::sleep(RENEW_EVERY) => self.renew(lease).await?,
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<(), StopReason> {
        go_on(lease, self.database.call(|pool| async move { lease.renew(&pool).await }).await?)
    }
}

/// Fails if the backfill was paused, cancelled or taken by another process since the lease began.
fn go_on(lease: &Lease, state: Option<BackfillState>) -> Result<(), StopReason> {
    if state == Some(lease.state) { Ok(()) } else { Err(StopReason::NotOurs) }
}
