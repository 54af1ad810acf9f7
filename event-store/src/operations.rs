//! `operations`: what operators did by hand that is no event of a user: who, what, when, and why.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::catalogue_store::Author;
use crate::instant;

/// The reason that is recorded where the operator gave none and needed to give none.
pub const NO_REASON_GIVEN: &str = "no reason given";

/// The kinds of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// A read model is rebuilt.
    Rebuild,
    /// A rebuild stands still.
    PauseRebuild,
    /// A rebuild goes on.
    ResumeRebuild,
    /// A rebuild is given up.
    CancelRebuild,
    /// The version of a read model before its last rebuild is dropped.
    DropOld,
    /// A topic that was created again is read from its beginning.
    AcceptNewTopic,
    /// One grant is delivered again.
    Redeliver,
    /// Grants that have something in common are delivered again.
    RedeliverMany,
    /// Redelivery of all that became due since a time, after a restore.
    Resync,
    /// A parked record that names no user is applied.
    ReleaseParked,
    /// A parked record that names no user is discarded.
    DiscardParked,
}

impl OperationKind {
    /// As stored and shown.
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

/// An operation that was done.
#[derive(Debug, Clone, Serialize)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// The time of the operation.
    pub at: Timestamp,
    /// The `sub` of a token, or the account at the command line.
    pub operator: String,
    /// Its kind, as [`OperationKind::as_str`] gives it.
    pub operation: String,
    /// The object of the operation.
    pub subject: String,
    /// The operator's reason, or [`NO_REASON_GIVEN`].
    pub reason: String,
}

/// A page of operations, the latest first. HTTP and the command line show it in this form.
#[derive(Debug, Clone, Serialize)]
pub struct OperationsPage {
    /// The operations.
    pub operations: Vec<Operation>,
    /// The last one of the page; `None`: there are no earlier ones.
    pub next: Option<Uuid>,
}

/// Records an operation.
pub async fn record(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    pool: &PgPool,
) -> sqlx::Result<()> {
    let sql = "insert into operations (id, operator, operation, subject, reason) values ($1, $2, $3, $4, $5)";
    sqlx::query(sql)
        .bind(Uuid::now_v7())
        .bind(&author.by)
        .bind(kind.as_str())
        .bind(subject)
        .bind(author.reason.as_deref().unwrap_or(NO_REASON_GIVEN))
        .execute(pool)
        .await?;
    Ok(())
}

/// Records an operation under a key, in a transaction that is held until its answer is known. `Some`: it was
/// done before, with this answer. Another one under the same key waits until this one has ended.
pub async fn begin(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    idempotency_key: &str,
    transaction: &mut PgConnection,
) -> sqlx::Result<Option<Value>> {
    let inserted = sqlx::query(
        "insert into operations (id, operator, operation, subject, reason, idempotency_key)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (operator, operation, md5(subject), idempotency_key) where idempotency_key is not null do nothing",
    )
    .bind(Uuid::now_v7())
    .bind(&author.by)
    .bind(kind.as_str())
    .bind(subject)
    .bind(author.reason.as_deref().unwrap_or(NO_REASON_GIVEN))
    .bind(idempotency_key)
    .execute(&mut *transaction)
    .await?;
    if inserted.rows_affected() > 0 {
        return Ok(None);
    }
    let answer: Option<Json<Value>> = sqlx::query_scalar(
        "select answer from operations
         where operator = $1 and operation = $2 and subject = $3 and idempotency_key = $4",
    )
    .bind(&author.by)
    .bind(kind.as_str())
    .bind(subject)
    .bind(idempotency_key)
    .fetch_one(transaction)
    .await?;
    Ok(Some(answer.map_or(Value::Null, |answer| answer.0)))
}

/// Keeps the answer of an operation that [`begin`] recorded.
pub async fn end(
    kind: OperationKind,
    subject: &str,
    author: &Author,
    idempotency_key: &str,
    answer: &Value,
    transaction: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(
        "update operations set answer = $5
         where operator = $1 and operation = $2 and subject = $3 and idempotency_key = $4",
    )
    .bind(&author.by)
    .bind(kind.as_str())
    .bind(subject)
    .bind(idempotency_key)
    .bind(Json(answer))
    .execute(transaction)
    .await?;
    Ok(())
}

/// Lists the operations before one of them, the latest first. `None`: there is no operation with the id `before`.
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
    let rows = sqlx::query(
        "select id, at, operator, operation, subject, coalesce(reason, $3) from operations o
         where $1::uuid is null or (o.at, o.id) < (select p.at, p.id from operations p where p.id = $1)
         order by o.at desc, o.id desc limit $2",
    )
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
