//! Rebuilds a view from the log while it is served: a new version of its tables beside the old.
//!
//! Workers take lanes, fold users in order of their ids and load the rows in bulk. Each chunk's
//! checkpoint is in the transaction of its rows, so a killed rebuild continues where it stopped.
//! Then follow indexes, rounds of catching up event by event, a comparison with the live version,
//! and the swap, with all lanes locked for a moment. Readers never fail; writers wait for the swap
//! only, and three seconds at most. A rebuild has connections of its own.

mod apply;
mod catch_up;
mod compare;
mod control;
mod copy;
mod lease;
mod load;
mod progress;
mod run;
mod silence;
mod skipped;
mod swap;
mod tables;

use std::time::Duration;

use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::operations::{self, OperationKind};
use plaudit_event_store::pool::{self, ANSWER_MAX, within};
use serde::Serialize;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

pub use control::{ProjectionStatus, RebuildStatus, cancel, drop_old, list, pause, resume, status};
pub use skipped::skipped;

use crate::ProjectionError;
use crate::difference::Differences;
use crate::view::View;
use lease::Lease;
use run::{Run, StopReason};

/// The settings of a rebuild.
#[derive(Debug, Clone, Copy)]
pub struct RebuildOptions {
    /// Number of lanes that are worked on at a time. A rebuild opens a connection of its own for
    /// each of them and three more, so that it and requests do not wait for each other.
    pub workers: usize,
    /// The way to treat an earlier rebuild that has not ended.
    pub start: Start,
    /// Number of events that are folded between two checkpoints.
    pub chunk_events: u32,
    /// Time limit for a database that executes no step of the rebuild. Beyond it the rebuild fails,
    /// since a reply was lost.
    pub silence_max: Duration,
}

/// Treatment of an earlier rebuild that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Resumes it; starts a new one if there is none.
    ResumeOrStart,
    /// Resumes it, or fails if there is none: it may have been swapped or cancelled since the
    /// request.
    ResumeOnly,
    /// Drops it and starts a new one.
    Restart,
}

impl Default for RebuildOptions {
    /// As many workers as there are cores, since folding is what takes the time; 20,000 events take
    /// some tens of milliseconds and some tens of megabytes.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            workers: cores,
            start: Start::ResumeOrStart,
            chunk_events: 20_000,
            silence_max: SILENCE_MAX,
        }
    }
}

/// The end of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RebuildOutcome {
    /// The new version is live. These rows of the previous version differed from the log.
    Swapped(Differences),
    /// The process is to end. The same call resumes the rebuild.
    Interrupted,
    /// An operator cancelled it; nothing changed.
    Cancelled,
}

/// The current step of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub enum Phase {
    /// Users are folded and loaded.
    Loading,
    /// Keys and indexes are created.
    Indexing,
    /// Events that were appended meanwhile are applied.
    CatchingUp,
    /// The new version is compared with the live one.
    Comparing,
    /// The new version is put in place.
    Swapping,
    /// The new version is live.
    Done,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Loading,
        Self::Indexing,
        Self::CatchingUp,
        Self::Comparing,
        Self::Swapping,
        Self::Done,
    ];

    /// The text that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Indexing => "indexing",
            Self::CatchingUp => "catching_up",
            Self::Comparing => "comparing",
            Self::Swapping => "swapping",
            Self::Done => "done",
        }
    }

    fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == text)
    }
}

impl From<Phase> for &'static str {
    fn from(phase: Phase) -> Self {
        phase.as_str()
    }
}

/// Twice as long as the longest pause between two attempts to swap.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Time limit for closing the connections at the end.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Interval between reports of progress.
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// Rebuilds a view, or resumes a rebuild that was interrupted, paused or failed.
///
/// Calls `progress` about twice a second. Cancel-safe: the next call resumes after the last chunk.
///
/// # Errors
///
/// [`ProjectionError::AlreadyRunning`] if another process rebuilds the view;
/// [`ProjectionError::NotRunning`] if [`Start::ResumeOnly`] finds nothing to resume.
pub async fn rebuild(
    pool: &PgPool,
    name: &str,
    options: RebuildOptions,
    progress: impl Fn(&RebuildStatus) + Send + Sync,
    shutdown: CancellationToken,
) -> Result<RebuildOutcome, ProjectionError> {
    rebuild_by(pool, name, options, None, progress, shutdown).await
}

/// As [`rebuild`], for an operator: the operation is recorded in the transaction that starts or
/// resumes the rebuild, so a refused one is not recorded.
pub async fn rebuild_by(
    pool: &PgPool,
    name: &str,
    options: RebuildOptions,
    author: Option<&Author>,
    progress: impl Fn(&RebuildStatus) + Send + Sync,
    shutdown: CancellationToken,
) -> Result<RebuildOutcome, ProjectionError> {
    let view = View::named(name)?;
    let questions = pool::reserved(pool, run::QUESTIONS);
    let mut asking = questions.acquire().await?;
    let lease = within(ANSWER_MAX, Lease::take(view, &mut asking)).await?;
    let prepared = prepare(view, options.start, lease, author, &mut asking);
    let prepared = within(ANSWER_MAX, prepared).await;
    drop(asking);
    if !matches!(prepared, Ok(true)) {
        lease.give_back(&questions).await;
        prepared?;
        return Err(ProjectionError::NotRunning { projection: view.name() });
    }
    let run = Run::new(pool, questions, view, options, lease, shutdown);
    let run = within(ANSWER_MAX, run).await?;
    let report = async |database: &PgPool| {
        let asked = control::status_of(database, view);
        if let Ok(Some(status)) = within(ANSWER_MAX, asked).await {
            progress(&status);
        }
    };
    let ended = {
        let mut work = std::pin::pin!(steps(&run));
        let mut telling = std::pin::pin!(async {
            let mut tick = tokio::time::interval(PROGRESS_EVERY);
            loop {
                tick.tick().await;
                report(&run.questions).await;
            }
        });
        tokio::select! {
            ended = &mut work => ended,
            lost = lease.keep(&run.questions) => Err(lost),
            () = silence::until_silent(&run) => {
                let (projection, limit) = (view.name(), options.silence_max);
                Err(StopReason::Failed(ProjectionError::Silent { projection, limit }))
            }
            () = &mut telling => unreachable!("it tells until the work has ended"),
        }
    };
    // Some of these connections may have fallen silent. They are not waited for, and the last steps
    // use a connection of their own.
    let closed = async { tokio::join!(run.pool.close(), run.questions.close()) };
    let _ = tokio::time::timeout(CLOSE_MAX, closed).await;
    let last = pool::reserved(pool, 1);
    let outcome = within(ANSWER_MAX, conclude(&run, ended, &last)).await;
    report(&last).await;
    lease.give_back(&last).await;
    outcome
}

/// Runs the steps of a rebuild, in order. Steps that were done before an interruption find nothing
/// to do.
async fn steps(run: &Run) -> Result<Differences, StopReason> {
    run.enter(Phase::Loading).await?;
    load::load(run).await?;
    run.enter(Phase::Indexing).await?;
    {
        let mut connection = run.pool.acquire().await?;
        tables::index(run.view, &mut connection).await?;
    }
    run.enter(Phase::CatchingUp).await?;
    catch_up::round(run).await?;
    run.enter(Phase::Comparing).await?;
    let differences = compare::compare(run).await?;
    run.enter(Phase::Swapping).await?;
    swap::swap(run, &differences).await?;
    Ok(differences)
}

/// Sets up a rebuild, or resumes an earlier one. Returns false if [`Start::ResumeOnly`] finds none.
async fn prepare(
    view: View,
    start: Start,
    lease: Lease,
    author: Option<&Author>,
    guard: &mut PgConnection,
) -> Result<bool, ProjectionError> {
    let mut tx = guard.begin().await?;
    if !lease.hold(&mut tx).await? {
        return Err(ProjectionError::AlreadyRunning { projection: view.name() });
    }
    let state = progress::lock(view, &mut tx).await?;
    // A resumed rebuild keeps its state: an operator may have paused it again.
    let (unfinished, state) = match (state.as_deref(), start) {
        (Some(state @ ("running" | "paused")), Start::ResumeOnly) => (true, state),
        (Some("running" | "paused" | "failed"), Start::ResumeOrStart) => (true, "running"),
        _ => (false, "running"),
    };
    if unfinished && tables::exist(view, &mut tx).await? {
        progress::resume(view, state, &mut tx).await?;
    } else if start == Start::ResumeOnly {
        tx.rollback().await?;
        return Ok(false);
    } else {
        tables::drop(view, "_new", &mut tx).await?;
        tables::create(view, &mut tx).await?;
        progress::begin(view, &mut tx).await?;
    }
    if let Some(author) = author {
        operations::record(OperationKind::Rebuild, view.name(), author, &mut *tx).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Stores the end of the rebuild.
async fn conclude(
    run: &Run,
    ended: Result<Differences, StopReason>,
    database: &PgPool,
) -> Result<RebuildOutcome, ProjectionError> {
    match ended {
        Ok(differences) => Ok(RebuildOutcome::Swapped(differences)),
        Err(StopReason::Interrupted) => Ok(RebuildOutcome::Interrupted),
        Err(StopReason::Cancelled) => {
            let mut connection = database.acquire().await?;
            control::drop_new(run.view, run.lease, &mut connection).await?;
            Ok(RebuildOutcome::Cancelled)
        }
        // Another process continues the rebuild.
        Err(StopReason::Lost) => {
            Err(ProjectionError::AlreadyRunning { projection: run.view.name() })
        }
        Err(StopReason::Failed(error)) => {
            let noted = progress::fail(run.view, run.lease, &error.to_string(), database).await;
            if let Err(unnoted) = noted {
                tracing::warn!(error = %unnoted, "a failed rebuild could not be noted as failed");
            }
            Err(error)
        }
    }
}
