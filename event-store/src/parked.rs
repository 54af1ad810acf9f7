//! Records that were set aside: kept with their source position, their reason and their bytes.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::action::Action;
use serde_json::{Value, json};
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::batch::ParkedRecord;
use crate::instant;

/// The namespace of ids of set-aside actions and records.
const PARKED_NAMESPACE: Uuid = Uuid::from_u128(0x8d1f_5a55_1c3e_5b0b_b2f6_3f43_b7a9_6f11);

impl ParkedRecord {
    /// An id that follows from a name, so that the same thing is set aside once.
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

/// A set-aside record as stored.
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
    /// When it was set aside.
    pub at: Timestamp,
}

/// A page of what was set aside.
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
    // Sizes first: the length of stored bytes is known without reading them.
    let rows = sqlx::query(
        "with found as materialized (
             select lane, id, parked_at,
                    octet_length(bytes)::bigint + octet_length(headers::text) as size,
                    row_number() over (order by parked_at, id) as place
             from (select * from parked
                   where $1::uuid is null
                      or (parked_at, id) > (select parked_at, id from parked where id = $1 limit 1)
                   order by parked_at, id limit $2 + 1) as candidate
         ), fitting as (
             select lane, id,
                    place <= $2 and (place = 1 or sum(size) over (order by place) <= $3) as fits,
                    count(*) over () as candidates
             from found
         )
         select id, reason, repairable, user_id, topic, partition, \"offset\", headers, bytes, parked_at, candidates
         from fitting join parked using (lane, id)
         where fits
         order by parked_at, id",
    )
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

/// One set-aside record.
pub async fn find(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<Parked>> {
    let row = sqlx::query(
        "select id, reason, repairable, user_id, topic, partition, \"offset\", headers, bytes, parked_at from parked
         where id = $1",
    )
    .bind(id)
    .fetch_optional(pool)
    .await?;
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
