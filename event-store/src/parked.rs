//! Parked records: kept with their source position, their reason and their bytes.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::batch::{Origin, ParkedRecord};
use crate::instant;

/// The namespace of the ids of parked actions and records.
const PARKED_NAMESPACE: Uuid = Uuid::from_u128(0x8d1f_5a55_1c3e_5b0b_b2f6_3f43_b7a9_6f11);

impl ParkedRecord {
    /// An id that follows from a name, so that the same thing is parked once.
    pub fn id_of(name: &str) -> Uuid {
        Uuid::new_v5(&PARKED_NAMESPACE, name.as_bytes())
    }

    /// An action that was readable and could not be applied.
    pub fn of_action(action: &Action, reason: &str, repairable: bool) -> Self {
        let event = json!({
            "specversion": "1.0",
            "source": action.source,
            "id": action.id,
            "type": action.kind,
            "subject": action.user,
            "time": action.occurred_at.to_string(),
            "data": action.data,
        });
        Self {
            id: Self::id_of(&format!("action\u{1f}{}", action.identity())),
            reason: reason.to_owned(),
            repairable,
            user: Some(action.user.clone()),
            headers: json!({"content-type": "application/cloudevents+json"}),
            bytes: event.to_string().into_bytes(),
        }
    }
}

/// Parks records. One that is parked already stays as it is.
pub(crate) async fn insert(
    records: &[(Lane, &Origin, Cow<'_, ParkedRecord>)],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for (lane, origin, record) in records {
        let at = match origin {
            Origin::Record(at) => Some(at),
            Origin::Request(_) | Origin::Follower | Origin::Sweeper => None,
        };
        sqlx::query(include_str!("parked/insert.sql"))
            .bind(lane.0)
            .bind(record.id)
            .bind(&record.reason)
            .bind(record.repairable)
            .bind(record.user.as_ref().map(UserId::as_str))
            .bind(at.map(|at| at.topic.as_ref()))
            .bind(at.map(|at| at.partition))
            .bind(at.map(|at| at.offset))
            .bind(&record.headers)
            .bind(&record.bytes)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// A parked record as stored.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its id.
    pub id: Uuid,
    /// Why it is here.
    pub reason: String,
    /// Whether someone can mend the cause.
    pub repairable: bool,
    /// The user, where one is known.
    pub user: Option<String>,
    /// Where it came from; absent for HTTP requests.
    pub topic: Option<String>,
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

/// A page of at most `limit` records and about [`PAGE_BYTES_MAX`], after a record.
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

/// One parked record.
pub async fn find(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Parked>> {
    let row = sqlx::query(include_str!("parked/find.sql")).bind(id).fetch_optional(pool).await?;
    row.as_ref().map(parked).transpose()
}

fn parked(row: &sqlx::postgres::PgRow) -> sqlx::Result<Parked> {
    let at: DateTime<Utc> = row.try_get("parked_at")?;
    Ok(Parked {
        id: row.try_get("id")?,
        reason: row.try_get("reason")?,
        repairable: row.try_get("repairable")?,
        user: row.try_get("user_id")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("offset")?,
        headers: row.try_get("headers")?,
        bytes: row.try_get("bytes")?,
        at: instant::from_sql(at),
    })
}
