//! `operations`: what operators did by hand apart from events of users, with author, time and
//! reason.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Executor as _, PgConnection, PgExecutor, PgPool, Row};
use uuid::Uuid;

use crate::author::Author;
use crate::instant;

/// Added to the time of the work before PostgreSQL ends the session of a process that froze.
const IDLE_SLACK: Duration = Duration::from_secs(15);

/// Recorded if the operator gave no reason and none is required.
pub const NO_REASON_GIVEN: &str = "no reason given";

/// The kinds of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// Rebuild a read model.
    Rebuild,
    /// Pause a rebuild.
    PauseRebuild,
    /// Resume a rebuild.
    ResumeRebuild,
    /// Cancel a rebuild.
    CancelRebuild,
    /// Drop the version of a read model from before its last rebuild.
    DropOld,
    /// Accept a recreated topic and read it from its beginning.
    AcceptNewTopic,
    /// Deliver one grant again.
    Redeliver,
    /// Deliver a selection of grants again.
    RedeliverMany,
    /// After a restore, redeliver all grants that became due since a time.
    Resync,
    /// Release a parked record that names no user.
    ReleaseParked,
    /// Discard a parked record that names no user.
    DiscardParked,
}

impl OperationKind {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rebuild => "projections.rebuild",
            Self::PauseRebuild => "projections.pause",
            Self::ResumeRebuild => "projections.resume",
            Self::CancelRebuild => "projections.cancel",
            Self::DropOld => "projections.drop-old",
            Self::AcceptNewTopic => "ingest.accept-new-topic",
            Self::Redeliver => "rewards.redeliver",
            Self::RedeliverMany => "rewards.redeliver-many",
            Self::Resync => "rewards.resync",
            Self::ReleaseParked => "parked.release",
            Self::DiscardParked => "parked.discard",
        }
    }
}

/// An operation in the record.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// The time of the operation.
    pub at: Timestamp,
    /// The `sub` of a token, or the account on the command line.
    pub operator: String,
    /// Its kind, as [`OperationKind::as_str`] gives it.
    pub operation: String,
    /// The object of the operation, such as a read model or a grant.
    pub subject: String,
    /// The operator's reason, or [`NO_REASON_GIVEN`].
    pub reason: String,
}

/// A page of operations, latest first, in the form that HTTP and the command line show.
#[derive(Debug, Clone, Serialize)]
pub struct OperationsPage {
    /// The operations.
    pub operations: Vec<Operation>,
    /// The `before` of the next page: the last operation of this one; `None` on the last page.
    pub next: Option<Uuid>,
}

/// Records an operation, in a transaction of its own or in the caller's.
pub async fn record(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    database: impl PgExecutor<'_>,
) -> sqlx::Result<()> {
    let sql = include_str!("operations/begin.sql");
    sqlx::query(sql)
        .bind(Uuid::now_v7())
        .bind(&author.by)
        .bind(kind.as_str())
        .bind(subject)
        .bind(author.reason.as_deref().unwrap_or(NO_REASON_GIVEN))
        .execute(database)
        .await?;
    Ok(())
}

/// Records an operation under an idempotency key, unless it is recorded already. Work that may end
/// half done needs this before [`begin`], outside its transaction.
pub async fn record_once(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    idempotency_key: &str,
    database: impl PgExecutor<'_>,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("operations/insert_once.sql"))
        .bind(Uuid::now_v7())
        .bind(&author.by)
        .bind(kind.as_str())
        .bind(subject)
        .bind(author.reason.as_deref().unwrap_or(NO_REASON_GIVEN))
        .bind(idempotency_key)
        .execute(database)
        .await?;
    Ok(())
}

/// Records an operation under an idempotency key, unless [`record_once`] did, and locks the record
/// in a transaction that stays open until the answer is known. Returns `Some` with the stored
/// answer if the operation was already done. A concurrent call with the same key waits until this
/// transaction ends.
///
/// The transaction may be idle for as long as `work_max`: the work is done by others, and a session
/// that PostgreSQL ended meanwhile would lose the record of it.
pub async fn begin(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    idempotency_key: &str,
    work_max: Duration,
    transaction: &mut PgConnection,
) -> sqlx::Result<Option<Value>> {
    let idle_max = work_max + IDLE_SLACK;
    let sql = format!("set local idle_in_transaction_session_timeout = {}", idle_max.as_millis());
    transaction.execute(sqlx::raw_sql(&sql)).await?;
    record_once(kind, subject, author, idempotency_key, &mut *transaction).await?;
    let answer: Option<Json<Value>> = sqlx::query_scalar(include_str!("operations/answer.sql"))
        .bind(&author.by)
        .bind(kind.as_str())
        .bind(subject)
        .bind(idempotency_key)
        .fetch_one(transaction)
        .await?;
    Ok(answer.map(|answer| answer.0))
}

/// Stores the answer of an operation that [`begin`] recorded.
pub async fn end(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    idempotency_key: &str,
    answer: &Value,
    transaction: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("operations/set_answer.sql"))
        .bind(&author.by)
        .bind(kind.as_str())
        .bind(subject)
        .bind(idempotency_key)
        .bind(Json(answer))
        .execute(transaction)
        .await?;
    Ok(())
}

/// Lists the operations before `before`, latest first. `None` if there is no operation with that
/// id.
pub async fn list(
    before: Option<Uuid>,
    limit: u32,
    pool: &PgPool,
) -> sqlx::Result<Option<OperationsPage>> {
    if let Some(before) = before {
        let known = "select exists (select from operations where id = $1)";
        let is_known: bool = sqlx::query_scalar(known).bind(before).fetch_one(pool).await?;
        if !is_known {
            return Ok(None);
        }
    }
    let rows = sqlx::query(include_str!("operations/page.sql"))
        .bind(before)
        .bind(i64::from(limit) + 1)
        .bind(NO_REASON_GIVEN)
        .fetch_all(pool)
        .await?;
    let mut operations = rows.iter().map(operation).collect::<sqlx::Result<Vec<_>>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = operations.len() > limit;
    operations.truncate(limit);
    let next = operations.last().filter(|_| has_more).map(|last| last.id);
    Ok(Some(OperationsPage { operations, next }))
}

fn operation(row: &PgRow) -> sqlx::Result<Operation> {
    Ok(Operation {
        id: row.try_get(0)?,
        at: instant::from_sql(row.try_get::<DateTime<Utc>, _>(1)?),
        operator: row.try_get(2)?,
        operation: row.try_get(3)?,
        subject: row.try_get(4)?,
        reason: row.try_get(5)?,
    })
}
