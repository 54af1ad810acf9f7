//! Probes the database when there is nothing to write.

use std::collections::BTreeSet;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use super::Executor;
use crate::catalogue_store::InForce;
use crate::error::ExecuteError;
use crate::lanes::{self, Contention, LaneWait, LockOutcome};
use crate::pool::{self, Borrowed};

/// Time limit for a probe.
const PROBE_MAX: Duration = Duration::from_secs(3);

impl Executor {
    /// Tries to lock lanes, and returns those that another session holds: all of them while it locks
    /// all lanes.
    pub(crate) async fn held_lanes(
        &self,
        lanes: &BTreeSet<Lane>,
    ) -> Result<BTreeSet<Lane>, ExecuteError> {
        pool::within(PROBE_MAX, async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let mut tx = connection.begin().await?;
            let outcome = lanes::lock(lanes, LaneWait::None, &mut tx).await?;
            tx.rollback().await?;
            connection.give_back();
            Ok(match outcome {
                LockOutcome::Locked(_) => BTreeSet::new(),
                LockOutcome::Busy(Contention::Held(held)) => held,
                LockOutcome::Busy(_) => lanes.clone(),
            })
        })
        .await
    }

    /// Reads the catalogue and writes a row, in a transaction that is rolled back. This detects a
    /// standby, a full disk and an unreadable catalogue, which all answer simple queries but accept
    /// no batch. A lock that another session holds on the probed table says nothing about batches.
    ///
    /// # Errors
    ///
    /// The error that a batch would get.
    pub(crate) async fn try_to_write(&self) -> Result<(), ExecuteError> {
        pool::within(PROBE_MAX, async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let mut tx = connection.begin().await?;
            let identity: Uuid =
                sqlx::query_scalar("select identity from catalogue").fetch_one(&mut *tx).await?;
            self.in_force(identity, &mut tx).await?;
            tx.execute("set local lock_timeout = '1s'").await?;
            let written = sqlx::query("insert into operations (id, operator, operation, subject) values ($1, '', 'probe', '')")
                .bind(Uuid::now_v7())
                .execute(&mut *tx)
                .await;
            match written {
                Err(sqlx::Error::Database(error))
                    if error.code().as_deref() == Some(lanes::LOCK_NOT_AVAILABLE) => {}
                written => _ = written?,
            }
            tx.rollback().await?;
            connection.give_back();
            Ok(())
        })
        .await
    }

    /// Reads the catalogue of this identity. Maps an unreadable one to an error that no item of a
    /// batch is blamed for.
    pub(super) async fn in_force(
        &self,
        identity: Uuid,
        connection: &mut PgConnection,
    ) -> Result<InForce, ExecuteError> {
        self.catalogue.in_force(identity, connection).await.map_err(|error| match error {
            ExecuteError::Unreadable(reason) => ExecuteError::CatalogueUnreadable(reason),
            ExecuteError::Refused(error) => ExecuteError::CatalogueUnreadable(error.to_string()),
            error => error,
        })
    }
}
