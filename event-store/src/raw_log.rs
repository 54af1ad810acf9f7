//! Rows of the log exactly as stored, for readers that must not interpret them: a digest covers the
//! stored text.

use chrono::{DateTime, Utc};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use crate::aggregate::AGGREGATE_TYPE;
use crate::upcasters;

/// A row of the log as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawRow {
    /// The user.
    pub user: String,
    /// The sequence in the user's stream.
    pub sequence: i64,
    /// The number of the position in the lane.
    pub position: i64,
    /// The event type.
    pub event_type: String,
    /// The version of the event's schema.
    pub event_version: String,
    /// The event as JSON text.
    pub payload: String,
    /// The metadata as JSON text.
    pub metadata: String,
    /// The time at which it was stored, in microseconds since 1970.
    pub recorded_at_us: i64,
}

impl RawRow {
    /// The reason why this program can't read the event; `None` if it can.
    pub fn fault(&self) -> Option<String> {
        let event = upcasters::read(&self.event_type, &self.event_version, &self.payload);
        let user = UserId::try_from(self.user.clone()).map_err(|error| error.to_string());
        let metadata = serde_json::from_str::<Value>(&self.metadata)
            .map_err(|error| format!("its metadata can't be read: {error}"));
        let event = event.map_err(|error| error.to_string());
        let reason = event.err().or(user.err()).or(metadata.err())?;
        Some(format!("event {} of user {}: {reason}", self.sequence, self.user))
    }
}

const COLUMNS: &str = "aggregate_id, sequence, position, event_type, event_version, payload::text, \
                       metadata::text, recorded_at";

/// Reads a page of a lane's log, in order: positions above `after`, up to and including `head`.
pub async fn after(
    lane: Lane,
    after: i64,
    head: i64,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<RawRow>> {
    let rows = sqlx::query(&format!(
        "select {COLUMNS} from events
         where lane = $1 and position > $2 and position <= $3 and aggregate_type = $4
         order by position limit $5"
    ))
    .bind(lane.0)
    .bind(after)
    .bind(head)
    .bind(AGGREGATE_TYPE)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Reads a page of a lane's log in order of users, after `(user, sequence)`; of one user only if
/// `user` is given.
pub async fn by_user(
    lane: Lane,
    after: (&str, i64),
    user: Option<&str>,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<RawRow>> {
    let only = if user.is_some() { " and aggregate_id = $6" } else { " and $6::text is null" };
    let rows = sqlx::query(&format!(
        "select {COLUMNS} from events
         where lane = $1 and aggregate_type = $2 and (aggregate_id, sequence) > ($3, $4){only}
         order by aggregate_id, sequence limit $5"
    ))
    .bind(lane.0)
    .bind(AGGREGATE_TYPE)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .bind(user)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Returns the users among these that have no events.
pub async fn without_events(
    lane: Lane,
    users: &[String],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select u.user_id from unnest($2::text[]) u (user_id)
         where not exists (
             select from events
             where lane = $1 and aggregate_type = $3 and aggregate_id = u.user_id)
         order by u.user_id",
    )
    .bind(lane.0)
    .bind(users)
    .bind(AGGREGATE_TYPE)
    .fetch_all(connection)
    .await
}

fn read(row: &PgRow) -> sqlx::Result<RawRow> {
    let recorded_at: DateTime<Utc> = row.try_get(7)?;
    Ok(RawRow {
        user: row.try_get(0)?,
        sequence: row.try_get(1)?,
        position: row.try_get(2)?,
        event_type: row.try_get(3)?,
        event_version: row.try_get(4)?,
        payload: row.try_get(5)?,
        metadata: row.try_get(6)?,
        recorded_at_us: recorded_at.timestamp_micros(),
    })
}
