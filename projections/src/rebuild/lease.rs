//! The right to rebuild a view: a row with an expiry and an epoch. A process that freezes while it
//! holds the lease loses it within seconds, and changes nothing when it wakes up.

use std::time::Duration;

use plaudit_event_store::pool::{ANSWER_MAX, within};
use sqlx::{PgConnection, PgExecutor, PgPool};
use tokio::time::Instant;

use super::run::StopReason;
use crate::ProjectionError;
use crate::view::View;

/// Lifetime of a lease that is not renewed, by the database's clock.
const LEASE: Duration = Duration::from_secs(4);

/// Interval between renewals, and time limit for one.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// Interval at which a process that waits for a lease looks at it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A lease that this process took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    view: View,
    epoch: i64,
}

impl Lease {
    /// Takes the lease of a view. If nobody renews the current one, waits until it expires.
    ///
    /// # Errors
    ///
    /// [`ProjectionError::AlreadyRunning`] as soon as its holder renews it.
    pub async fn take(view: View, connection: &mut PgConnection) -> Result<Self, ProjectionError> {
        let first: Option<i64> = renewals(view, connection).await?;
        loop {
            let epoch: Option<i64> = sqlx::query_scalar(include_str!("lease/take.sql"))
                .bind(view.name())
                .bind(LEASE.as_secs_f64())
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(epoch) = epoch {
                return Ok(Self { view, epoch });
            }
            if renewals(view, connection).await? != first {
                return Err(ProjectionError::AlreadyRunning { projection: view.name() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Renews the lease until it is lost. Returns the reason: another process took it, or the
    /// database gave no answer for the lifetime of the lease.
    pub async fn keep(self, pool: &PgPool) -> StopReason {
        let mut renewed_at = Instant::now();
        while renewed_at.elapsed() < LEASE {
            tokio::time::sleep(RENEW_EVERY).await;
            let asked_at = Instant::now();
            let renewed = sqlx::query(include_str!("lease/renew.sql"))
                .bind(self.view.name())
                .bind(self.epoch)
                .bind(LEASE.as_secs_f64())
                .execute(pool);
            match within(RENEW_EVERY, renewed).await {
                Ok(renewed) if renewed.rows_affected() == 0 => return StopReason::Lost,
                Ok(_) => renewed_at = asked_at,
                Err(error) => tracing::debug!(%error, "the lease of a rebuild was not renewed"),
            }
        }
        let (projection, limit) = (self.view.name(), LEASE);
        StopReason::Failed(ProjectionError::Silent { projection, limit })
    }

    /// The epoch, which rises each time a process takes the lease.
    pub fn epoch(self) -> i64 {
        self.epoch
    }

    /// Returns true if no other process has taken the lease.
    pub async fn is_held(self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query_scalar(
            "select exists (select from rebuild_leases where projection = $1 and epoch = $2)",
        )
        .bind(self.view.name())
        .bind(self.epoch)
        .fetch_one(connection)
        .await
    }

    /// As [`Self::is_held`], and locks the lease: no other process can take it until the
    /// transaction ends.
    pub async fn hold(self, connection: &mut PgConnection) -> sqlx::Result<bool> {
        let held: Option<bool> = sqlx::query_scalar(
            "select true from rebuild_leases where projection = $1 and epoch = $2 for update",
        )
        .bind(self.view.name())
        .bind(self.epoch)
        .fetch_optional(connection)
        .await?;
        Ok(held.is_some())
    }

    /// Gives the lease back. If that fails, the lease expires.
    pub async fn give_back(self, database: impl PgExecutor<'_>) {
        let given_back = sqlx::query(include_str!("lease/give_back.sql"))
            .bind(self.view.name())
            .bind(self.epoch)
            .execute(database);
        if let Err(error) = within(ANSWER_MAX, given_back).await {
            tracing::debug!(%error, "the lease of a rebuild was not given back");
        }
    }
}

/// Number of times that the lease was taken or renewed; `None` if it never was.
async fn renewals(view: View, connection: &mut PgConnection) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("select renewals from rebuild_leases where projection = $1")
        .bind(view.name())
        .fetch_optional(connection)
        .await
}
