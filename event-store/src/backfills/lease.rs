//! Leases of backfills: one process works on a backfill at a time, until its lease expires. The
//! epoch rejects writes of a process that lost its lease; the identity of each action prevents
//! double counting.

use jiff::Timestamp;
use plaudit_domain::catalogue::definition::BackfillRewards;
use plaudit_domain::ids::TaskId;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::{BackfillPartition, BackfillState, rewards_from};
use crate::instant;
use crate::states::undecodable;

/// Duration of a lease. It is renewed with each step, and every few seconds between steps.
const LEASE_SECONDS: f64 = 15.0;

/// A backfill that this process works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// The epoch of the lease. Increases with each holder.
    pub epoch: i64,
    /// The earliest time of an action that counts.
    pub from: Timestamp,
    /// The treatment of rewards that past actions earn.
    pub rewards: BackfillRewards,
    /// True if the records to read are known.
    pub is_planned: bool,
    /// Its state.
    pub state: BackfillState,
    /// An operator's request to grant the held rewards.
    pub release: Option<ReleaseRequest>,
}

/// An operator's request to grant the rewards that a backfill holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// The operator.
    pub by: String,
    /// The reason.
    pub reason: Option<String>,
    /// The time.
    pub at: Timestamp,
}

/// The counts of one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Actions that moved the task.
    pub moved: i64,
    /// Actions that did not move the task.
    pub unmoved: i64,
    /// Actions that could not be decided.
    pub failed: i64,
    /// Actions that were taken back.
    pub reversed: i64,
}

/// Takes a backfill that has work and no worker; the one that has waited longest first.
pub async fn take(pool: &PgPool, holder: Uuid) -> sqlx::Result<Option<Lease>> {
    let row = sqlx::query(include_str!("take.sql"))
        .bind(holder)
        .bind(LEASE_SECONDS)
        .fetch_optional(pool)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let release = match row.try_get::<Option<chrono::DateTime<chrono::Utc>>, _>("release_at")? {
        None => None,
        Some(at) => Some(ReleaseRequest {
            by: row.try_get::<Option<String>, _>("release_by")?.unwrap_or_default(),
            reason: row.try_get("release_reason")?,
            at: instant::from_sql(at),
        }),
    };
    Ok(Some(Lease {
        task: row.try_get::<String, _>("task_id")?.try_into().map_err(undecodable)?,
        epoch: row.try_get("epoch")?,
        from: instant::from_sql(row.try_get("counts_from")?),
        rewards: rewards_from(row.try_get("rewards")?)?,
        is_planned: row.try_get("is_planned")?,
        state: row.try_get::<&str, _>("state")?.parse().map_err(undecodable)?,
        release,
    }))
}

impl Lease {
    /// Renews the lease and returns the state of the backfill. `None`: another process holds the
    /// lease.
    pub async fn renew(&self, pool: &PgPool) -> sqlx::Result<Option<BackfillState>> {
        let state: Option<String> = sqlx::query_scalar(include_str!("renew_lease.sql"))
            .bind(self.task.as_str())
            .bind(self.epoch)
            .bind(LEASE_SECONDS)
            .fetch_optional(pool)
            .await?;
        state.map(|state| state.parse().map_err(undecodable)).transpose()
    }

    /// Releases the lease. Nobody takes it again for `rest` seconds.
    pub async fn give_back(&self, pool: &PgPool, rest: f64) -> sqlx::Result<()> {
        sqlx::query(include_str!("give_back_lease.sql"))
            .bind(self.task.as_str())
            .bind(self.epoch)
            .bind(rest)
            .execute(pool)
            .await?;
        Ok(())
    }

    /// Stores the records to read. Returns `false` if another process holds the lease or the plan
    /// is stored already.
    pub async fn plan(
        &self,
        pool: &PgPool,
        partitions: &[BackfillPartition],
    ) -> sqlx::Result<bool> {
        let mut tx = pool.begin().await?;
        let mine = sqlx::query(include_str!("set_planned.sql"))
            .bind(self.task.as_str())
            .bind(self.epoch)
            .execute(&mut *tx)
            .await?;
        if mine.rows_affected() != 1 {
            return Ok(false);
        }
        for p in partitions {
            sqlx::query(include_str!("insert_partitions.sql"))
                .bind(self.task.as_str())
                .bind(&p.topic)
                .bind(p.incarnation)
                .bind(p.partition)
                .bind(p.start_offset)
                .bind(p.next_offset)
                .bind(p.end_offset)
                .bind(p.kept_from.map(instant::to_sql))
                .bind(p.lost)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Stores the progress of partitions and the counts of the step. Must follow the commit of the
    /// batches that applied these records. Returns the state of the backfill; `None`: another
    /// process holds the lease, and nothing was stored.
    pub async fn advance(
        &self,
        pool: &PgPool,
        partitions: &[BackfillPartition],
        counts: Counts,
    ) -> sqlx::Result<Option<BackfillState>> {
        let mut tx = pool.begin().await?;
        let state: Option<String> = sqlx::query_scalar(include_str!("add_counts.sql"))
            .bind(self.task.as_str())
            .bind(self.epoch)
            .bind(counts.moved)
            .bind(counts.unmoved)
            .bind(counts.failed)
            .bind(LEASE_SECONDS)
            .bind(counts.reversed)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(state) = state else { return Ok(None) };
        sqlx::query(include_str!("advance_partitions.sql"))
            .bind(self.task.as_str())
            .bind(partitions.iter().map(|p| p.topic.as_str()).collect::<Vec<_>>())
            .bind(partitions.iter().map(|p| p.incarnation).collect::<Vec<_>>())
            .bind(partitions.iter().map(|p| p.partition).collect::<Vec<_>>())
            .bind(partitions.iter().map(|p| p.next_offset).collect::<Vec<_>>())
            .bind(partitions.iter().map(|p| p.lost).collect::<Vec<_>>())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(state.parse().map_err(undecodable)?))
    }

    /// Stores the problem that blocks the backfill.
    pub async fn report(&self, pool: &PgPool, problem: &str) -> sqlx::Result<()> {
        sqlx::query("update backfills set problem = $3 where task_id = $1 and epoch = $2")
            .bind(self.task.as_str())
            .bind(self.epoch)
            .bind(problem)
            .execute(pool)
            .await?;
        Ok(())
    }

    /// Marks the backfill as done.
    pub async fn finish(&self, pool: &PgPool) -> sqlx::Result<()> {
        let mut tx = pool.begin().await?;
        let done = sqlx::query(include_str!("finish.sql"))
            .bind(self.task.as_str())
            .bind(self.epoch)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 1 {
            crate::catalogue_revision::renew(&mut tx).await?;
        }
        tx.commit().await
    }

    /// Adds to the number of users whose held rewards were granted. Returns `false` if another
    /// process holds the lease.
    pub async fn released(&self, pool: &PgPool, users: i64, is_all: bool) -> sqlx::Result<bool> {
        let noted = sqlx::query(include_str!("advance_release.sql"))
            .bind(self.task.as_str())
            .bind(self.epoch)
            .bind(users)
            .bind(is_all)
            .bind(LEASE_SECONDS)
            .execute(pool)
            .await?;
        Ok(noted.rows_affected() == 1)
    }
}
