//! Parked records, stored with their source position, reason and bytes.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{ParkedVerdict, Resolution};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::batch::{Origin, ParkedRecord, SourcePosition};
use crate::instant;
use crate::text::without_nul;

mod queues;

pub(crate) use queues::{ParkedQueues, load};

/// The namespace of the ids of parked actions and records.
const PARKED_NAMESPACE: Uuid = Uuid::from_u128(0x8d1f_5a55_1c3e_5b0b_b2f6_3f43_b7a9_6f11);

impl ParkedRecord {
    /// Derives an id from a name, so that the same thing is parked once.
    pub fn id_of(name: &str) -> Uuid {
        Uuid::new_v5(&PARKED_NAMESPACE, name.as_bytes())
    }

    /// The id under which a readable action that could not be applied is parked.
    pub fn id_of_action(action: &Action) -> Uuid {
        Self::id_of(&format!("action\u{1f}{}", action.identity()))
    }

    /// Builds the record for a readable action that could not be applied.
    pub fn of_action(action: &Action, reason: &str, repairable: bool) -> Self {
        Self {
            id: Self::id_of_action(action),
            reason: reason.to_owned(),
            repairable,
            user: Some(action.user.clone()),
            headers: json!({"content-type": "application/cloudevents+json"}),
            bytes: action.to_cloud_event().to_json().into_bytes(),
        }
    }
}

/// A record that a batch parks.
pub(crate) struct NewlyParked<'b> {
    pub lane: Lane,
    pub origin: &'b Origin,
    pub record: Cow<'b, ParkedRecord>,
    /// True if it is parked only because an earlier record of its user is.
    pub waiting: bool,
}

/// Parks records. A record that is already parked stays unchanged, except that it may begin to
/// block the user's later actions. A record that was released or discarded is parked again.
pub(crate) async fn insert(
    records: &[NewlyParked<'_>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for NewlyParked { lane, origin, record, waiting } in records {
        let at = match origin {
            Origin::Record(at) => Some(at),
            Origin::Parked { from, .. } | Origin::Backfill { from, .. } => from.as_ref(),
            Origin::Request(_) | Origin::Follower | Origin::Sweeper => None,
        };
        sqlx::query(include_str!("parked/insert.sql"))
            .bind(lane.0)
            .bind(record.id)
            .bind(without_nul(&record.reason))
            .bind(record.repairable)
            .bind(waiting)
            .bind(record.user.as_ref().map(UserId::as_str))
            .bind(at.map(|at| at.topic.as_ref()))
            .bind(at.map(|at| at.incarnation))
            .bind(at.map(|at| at.partition))
            .bind(at.map(|at| at.offset))
            .bind(&record.headers)
            .bind(&record.bytes)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Stores the decisions of operators.
pub(crate) async fn resolve(
    decisions: &[(Lane, &Resolution)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for (lane, decision) in decisions {
        let (resolution, reason) = match &decision.verdict {
            ParkedVerdict::Release { reason } => (RELEASED, reason.as_deref()),
            ParkedVerdict::Discard { reason } => (DISCARDED, Some(reason.as_str())),
        };
        sqlx::query(include_str!("parked/resolve.sql"))
            .bind(lane.0)
            .bind(decision.parked)
            .bind(instant::to_sql(decision.at))
            .bind(resolution)
            .bind(&decision.by)
            .bind(reason)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The decisions as stored in `resolution`.
const RELEASED: &str = "released";
const DISCARDED: &str = "discarded";

/// Retention in days of records after a decision.
const RESOLVED_KEPT_DAYS: i32 = 90;

/// Deletes old records that were released or discarded, at most a thousand.
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(include_str!("parked/purge.sql")).bind(RESOLVED_KEPT_DAYS).execute(pool).await?;
    Ok(())
}

/// A parked record as stored. Serializes as shown over HTTP and on the command line.
#[derive(Debug, Clone, Serialize)]
pub struct Parked {
    /// Its id.
    pub id: Uuid,
    /// The reason why it was parked.
    pub reason: String,
    /// True if the cause can be repaired, so that the user's later actions wait behind it.
    pub repairable: bool,
    /// True if it is parked only because an earlier record of its user is.
    #[serde(skip)]
    pub waiting: bool,
    /// The user, if known.
    pub user: Option<String>,
    /// The source topic; absent for HTTP requests.
    pub topic: Option<String>,
    /// See [`SourcePosition::incarnation`]; absent for records parked by an older program.
    #[serde(skip)]
    pub incarnation: Option<i32>,
    /// The source partition; absent for HTTP requests.
    pub partition: Option<i32>,
    /// The source offset; absent for HTTP requests.
    pub offset: Option<i64>,
    /// The headers as JSON.
    pub headers: Value,
    /// The value of the record.
    #[serde(serialize_with = "in_base64")]
    pub bytes: Vec<u8>,
    /// The time at which it was parked.
    pub at: Timestamp,
    /// The user's lane; without a user, a lane derived from the source.
    #[serde(skip)]
    pub lane: Lane,
    /// The decision of an operator; absent while it is parked.
    #[serde(skip)]
    pub resolved: Option<Resolved>,
}

/// An operator's decision about a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// `released` or `discarded`.
    pub resolution: String,
    /// The operator.
    pub by: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// The time of the decision.
    pub at: Timestamp,
}

impl Parked {
    /// The source position; `None` for HTTP requests.
    pub fn source_position(&self) -> Option<SourcePosition> {
        Some(SourcePosition {
            topic: self.topic.as_deref()?.into(),
            incarnation: self.incarnation.unwrap_or(0),
            partition: self.partition?,
            offset: self.offset?,
        })
    }
}

fn in_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

/// A page of parked records.
#[derive(Debug, Clone, Serialize)]
pub struct ParkedPage {
    /// Oldest first.
    pub parked: Vec<Parked>,
    /// The `after` of the next page: the last record of this one; `None` on the last page.
    pub next: Option<Uuid>,
}

/// Limit on the bytes of values and headers in a page, apart from its first record. A single record
/// may have megabytes.
pub const PAGE_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// Returns the records after `after`: at most `limit`, and about [`PAGE_BYTES_MAX`] bytes. The page
/// is empty if `after` is unknown; see [`is_known`].
pub async fn page(pool: &PgPool, after: Option<Uuid>, limit: i64) -> sqlx::Result<ParkedPage> {
    let rows = sqlx::query(include_str!("parked/page.sql"))
        .bind(after)
        .bind(limit)
        .bind(PAGE_BYTES_MAX)
        .fetch_all(pool)
        .await?;
    let records = rows.iter().map(parked).collect::<sqlx::Result<Vec<_>>>()?;
    let candidates: i64 = rows.first().map_or(Ok(0), |row| row.try_get("candidates"))?;
    let more = usize::try_from(candidates).is_ok_and(|candidates| candidates > records.len());
    let next = records.last().filter(|_| more).map(|last| last.id);
    Ok(ParkedPage { parked: records, next })
}

/// True if a record with this id is parked, or was parked and is still stored.
pub async fn is_known(pool: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let known = "select exists (select from parked where id = $1)";
    sqlx::query_scalar(known).bind(id).fetch_one(pool).await
}

/// Finds a record by id, including released and discarded ones that are still stored.
pub async fn find(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Parked>> {
    let row = sqlx::query(include_str!("parked/find.sql")).bind(id).fetch_optional(pool).await?;
    row.as_ref().map(parked).transpose()
}

/// Returns the records of a user that block later actions, in the order of release: at most
/// `limit`.
pub async fn queue_of(
    pool: &PgPool,
    lane: Lane,
    user: &str,
    limit: i64,
) -> sqlx::Result<Vec<Parked>> {
    let rows = sqlx::query(include_str!("parked/queue_of.sql"))
        .bind(lane.0)
        .bind(user)
        .bind(limit)
        .bind(PAGE_BYTES_MAX)
        .fetch_all(pool)
        .await?;
    rows.iter().map(parked).collect()
}

fn parked(row: &sqlx::postgres::PgRow) -> sqlx::Result<Parked> {
    let at: DateTime<Utc> = row.try_get("parked_at")?;
    // JSON is read as its text. Text that can't be parsed is shown as it is, so that the list stays
    // usable.
    let headers: &str = row.try_get_unchecked("headers")?;
    Ok(Parked {
        id: row.try_get("id")?,
        reason: row.try_get("reason")?,
        repairable: row.try_get("repairable")?,
        waiting: row.try_get("waiting")?,
        user: row.try_get("user_id")?,
        topic: row.try_get("topic")?,
        incarnation: row.try_get("incarnation")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        headers: serde_json::from_str(headers).unwrap_or_else(|_| headers.into()),
        bytes: row.try_get("bytes")?,
        at: instant::from_sql(at),
        lane: Lane(row.try_get("lane")?),
        resolved: resolved(row)?,
    })
}

fn resolved(row: &sqlx::postgres::PgRow) -> sqlx::Result<Option<Resolved>> {
    let at: Option<DateTime<Utc>> = row.try_get("resolved_at")?;
    let Some(at) = at else { return Ok(None) };
    Ok(Some(Resolved {
        resolution: row.try_get("resolution")?,
        by: row.try_get("resolved_by")?,
        reason: row.try_get("resolved_reason")?,
        at: instant::from_sql(at),
    }))
}
