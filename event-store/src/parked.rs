//! Parked records: kept with their source position, their reason and their bytes.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{ParkedVerdict, Resolution};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::batch::{Origin, ParkedRecord, SourcePosition};
use crate::instant;

mod queues;

pub(crate) use queues::{ParkedQueues, load};

/// The namespace of the ids of parked actions and records.
const PARKED_NAMESPACE: Uuid = Uuid::from_u128(0x8d1f_5a55_1c3e_5b0b_b2f6_3f43_b7a9_6f11);

impl ParkedRecord {
    /// An id that follows from a name, so that the same thing is parked once.
    pub fn id_of(name: &str) -> Uuid {
        Uuid::new_v5(&PARKED_NAMESPACE, name.as_bytes())
    }

    /// The id under which an action is parked that was readable and could not be applied.
    pub fn id_of_action(action: &Action) -> Uuid {
        Self::id_of(&format!("action\u{1f}{}", action.identity()))
    }

    /// An action that was readable and could not be applied.
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
    /// It is parked only because an earlier record of its user is.
    pub waiting: bool,
}

/// Parks records. One that is parked already stays as it is, unless the user's later actions wait behind it only
/// from now on. One that was released or discarded before is parked again.
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
            .bind(&record.reason)
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

/// Notes what operators decided.
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

/// The decisions as stored.
const RELEASED: &str = "released";
const DISCARDED: &str = "discarded";

/// Decisions are kept for so many days after they were made.
const RESOLVED_KEPT_DAYS: i32 = 90;

/// Deletes records that were released or discarded long ago, a thousand at most.
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query(include_str!("parked/purge.sql")).bind(RESOLVED_KEPT_DAYS).execute(pool).await?;
    Ok(())
}

/// A parked record as stored.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its id.
    pub id: Uuid,
    /// Why it is here.
    pub reason: String,
    /// Whether someone can mend the cause, so that the user's later actions wait behind it.
    pub repairable: bool,
    /// It is parked only because an earlier record of its user is.
    pub waiting: bool,
    /// The user, where one is known.
    pub user: Option<String>,
    /// Where it came from; absent for HTTP requests.
    pub topic: Option<String>,
    /// See [`SourcePosition::incarnation`]; absent for records that an older program parked.
    pub incarnation: Option<i32>,
    /// See `topic`.
    pub partition: Option<i32>,
    /// See `topic`.
    pub offset: Option<i64>,
    /// Headers as JSON.
    pub headers: Value,
    /// The value.
    pub bytes: Vec<u8>,
    /// When it was parked.
    pub at: Timestamp,
    /// The lane it lies in: its user's, or else one that follows from where it came from.
    pub lane: Lane,
    /// What an operator decided; absent: it is still parked.
    pub resolved: Option<Resolved>,
}

/// What an operator decided about a parked record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// `released` or `discarded`.
    pub resolution: String,
    /// Who decided.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

impl Parked {
    /// Where the record came from; `None` for HTTP requests.
    pub fn source_position(&self) -> Option<SourcePosition> {
        Some(SourcePosition {
            topic: self.topic.as_deref()?.into(),
            incarnation: self.incarnation.unwrap_or(0),
            partition: self.partition?,
            offset: self.offset?,
        })
    }
}

/// A page of parked records.
#[derive(Debug, Clone)]
pub struct ParkedPage {
    /// Oldest first.
    pub parked: Vec<Parked>,
    /// After which record the next page begins; `None`: this is the last one.
    pub next: Option<Uuid>,
}

/// How many bytes of values and headers are in a page, beside its first record. A single record may
/// have megabytes.
pub const PAGE_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// A page of at most `limit` records and about [`PAGE_BYTES_MAX`], after a record. Nothing comes after one that is
/// not known: see [`is_known`].
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

/// Tells whether a record with this id is parked, or was and is still kept.
pub async fn is_known(pool: &PgPool, id: Uuid) -> sqlx::Result<bool> {
    let known = "select exists (select from parked where id = $1)";
    sqlx::query_scalar(known).bind(id).fetch_one(pool).await
}

/// One parked record, also one that was released or discarded and is still kept.
pub async fn find(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Parked>> {
    let row = sqlx::query(include_str!("parked/find.sql")).bind(id).fetch_optional(pool).await?;
    row.as_ref().map(parked).transpose()
}

/// What is parked of a user and blocks later actions, in the order in which it is released: at most `limit`.
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
    // JSON travels as its text. Text that can't be read is shown as it is: the list goes on.
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
