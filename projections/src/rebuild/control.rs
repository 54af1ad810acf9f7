//! Status of rebuilds, and the operators' commands: pause, resume, cancel, drop the old version.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::operations::{self, OperationKind};
use plaudit_event_store::{instant, pool};
use serde::{Serialize, Serializer};
use sqlx::{Connection as _, PgConnection, PgPool, Row};

use super::lease::Lease;
use super::{Phase, progress, tables};
use crate::ProjectionError;
use crate::view::View;

/// Progress of a rebuild, in the form that HTTP and the command line show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RebuildStatus {
    /// The view.
    pub projection: &'static str,
    /// `running`, `paused`, `cancelled`, `swapped` or `failed`.
    pub state: String,
    /// The current step.
    pub phase: Phase,
    /// Users folded.
    pub users: u64,
    /// Events folded or caught up with.
    pub events: u64,
    /// Events of the log up to each lane's checkpoint: its head when its load began. Catching up
    /// moves both numbers.
    pub events_total: u64,
    /// Events per second since the last start or resumption, while loading; `None` before the first
    /// chunk and after the load.
    #[serde(rename = "events_per_second")]
    pub rate: Option<f64>,
    /// Estimated duration of the rest of the load, at that rate.
    #[serde(rename = "remaining_seconds", serialize_with = "in_seconds")]
    pub remaining: Option<Duration>,
    /// Time of the first start.
    pub started_at: Timestamp,
    /// Time of the swap.
    pub finished_at: Option<Timestamp>,
    /// Number of rows that differed from the log; `None` before the swap.
    pub differences: Option<u64>,
    /// Number of users who were skipped, because an event of theirs can't be read;
    /// [`super::skipped`] lists them.
    #[serde(rename = "skipped_users")]
    pub skipped: u64,
    /// The reason of the failure.
    pub error: Option<String>,
}

#[expect(clippy::ref_option, reason = "serde gives the field by reference")]
fn in_seconds<S: Serializer>(duration: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(to)
}

/// A view and its last rebuild, in the form that HTTP and the command line show.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProjectionStatus {
    /// The view.
    pub name: &'static str,
    /// True if the version before the last rebuild still exists.
    pub old_kept: bool,
    /// The running or the last rebuild.
    pub rebuild: Option<RebuildStatus>,
}

/// Lists the views that can be rebuilt.
pub async fn list(pool: &PgPool) -> Result<Vec<ProjectionStatus>, ProjectionError> {
    let mut all = Vec::new();
    for view in View::ALL {
        let old = format!("{}_old", view.name());
        let old_kept = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(old)
            .fetch_one(pool)
            .await?;
        let rebuild = status_of(pool, view).await?;
        all.push(ProjectionStatus { name: view.name(), old_kept, rebuild });
    }
    Ok(all)
}

/// Returns the running or the last rebuild of a view; `None` if there never was one.
pub async fn status(pool: &PgPool, name: &str) -> Result<Option<RebuildStatus>, ProjectionError> {
    Ok(status_of(pool, View::named(name)?).await?)
}

pub(super) async fn status_of(pool: &PgPool, view: View) -> sqlx::Result<Option<RebuildStatus>> {
    let Some(row) = progress::status(view, pool).await? else { return Ok(None) };
    let count = |column: usize| -> sqlx::Result<u64> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or_default())
    };
    let phase = Phase::from_stored(row.try_get(1)?).unwrap_or(Phase::Loading);
    let (events, events_total) = (count(3)?, count(4)?);
    let rate = rate(row.try_get(9)?, row.try_get(10)?).filter(|_| phase == Phase::Loading);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let left = (events_total - events) as f64;
    let finished_at: Option<DateTime<Utc>> = row.try_get(6)?;
    let differences: Option<i64> = row.try_get(7)?;
    Ok(Some(RebuildStatus {
        projection: view.name(),
        state: row.try_get(0)?,
        phase,
        users: count(2)?,
        events,
        events_total,
        rate,
        remaining: rate.and_then(|rate| Duration::try_from_secs_f64(left / rate).ok()),
        started_at: instant::from_sql(row.try_get(5)?),
        finished_at: finished_at.map(instant::from_sql),
        differences: differences.and_then(|count| u64::try_from(count).ok()),
        skipped: count(11)?,
        error: row.try_get(8)?,
    }))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn rate(events: i64, seconds: f64) -> Option<f64> {
    (events > 0 && seconds > 0.0).then(|| events as f64 / seconds)
}

/// Pauses a running rebuild after its current chunk. As with [`resume`] and [`cancel`], the operation
/// is recorded in the same transaction.
pub async fn pause(pool: &PgPool, name: &str, author: &Author) -> Result<(), ProjectionError> {
    let by = (OperationKind::PauseRebuild, author);
    steer(pool, name, "paused", &["running"], by).await.map(|_| ())
}

/// Resumes a paused rebuild. If its process has ended, [`super::rebuild`] must be called too, with
/// [`super::Start::ResumeOnly`].
pub async fn resume(pool: &PgPool, name: &str, author: &Author) -> Result<(), ProjectionError> {
    let by = (OperationKind::ResumeRebuild, author);
    steer(pool, name, "running", &["paused"], by).await.map(|_| ())
}

/// Cancels a rebuild. The live version stays as it is.
pub async fn cancel(pool: &PgPool, name: &str, author: &Author) -> Result<(), ProjectionError> {
    let by = (OperationKind::CancelRebuild, author);
    let view = steer(pool, name, "cancelled", &["running", "paused", "failed"], by).await?;
    // If no process works on the rebuild, nobody else drops the tables.
    let mut connection = own_connection(pool).await?;
    match Lease::take(view, &mut connection).await {
        Ok(lease) => {
            drop_new(view, lease, &mut connection).await?;
            lease.give_back(&mut connection).await;
        }
        Err(ProjectionError::AlreadyRunning { .. }) => {}
        Err(error) => return Err(error),
    }
    connection.close().await?;
    Ok(())
}

/// Drops the new version of a cancelled rebuild, unless another process has taken the lease since.
pub(super) async fn drop_new(
    view: View,
    lease: Lease,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let mut tx = connection.begin().await?;
    if lease.hold(&mut tx).await? {
        tables::drop(view, "_new", &mut tx).await?;
    }
    tx.commit().await
}

async fn steer(
    pool: &PgPool,
    name: &str,
    to: &str,
    from: &[&str],
    (kind, author): (OperationKind, &Author),
) -> Result<View, ProjectionError> {
    let view = View::named(name)?;
    let mut tx = pool.begin().await?;
    if !progress::change_state(view, to, from, &mut tx).await? {
        return Err(ProjectionError::NotRunning { projection: view.name() });
    }
    operations::record(kind, view.name(), author, &mut *tx).await?;
    tx.commit().await?;
    Ok(view)
}

/// Drops the version before the last rebuild. An operator's is recorded in the
/// same transaction.
pub async fn drop_old(
    pool: &PgPool,
    name: &str,
    author: Option<&Author>,
) -> Result<(), ProjectionError> {
    let view = View::named(name)?;
    let mut tx = pool.begin().await?;
    if let Some(author) = author {
        operations::record(OperationKind::DropOld, name, author, &mut *tx).await?;
    }
    tables::drop(view, "_old", &mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Opens a connection outside the pool, which may be busy with requests.
async fn own_connection(pool: &PgPool) -> sqlx::Result<PgConnection> {
    Ok(pool::reserved_probing(pool, 1).acquire().await?.detach())
}
