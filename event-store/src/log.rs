//! The log: the table `events`. Rows are added, and never changed or deleted.

use sqlx::PgConnection;

use crate::aggregate::AGGREGATE_TYPE;
use crate::batch::NewEvent;

/// Appends events to the log.
pub async fn append(events: &[NewEvent], connection: &mut PgConnection) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let count = events.len();
    let mut lanes = Vec::with_capacity(count);
    let mut users = Vec::with_capacity(count);
    let mut sequences = Vec::with_capacity(count);
    let mut types = Vec::with_capacity(count);
    let mut versions = Vec::with_capacity(count);
    let mut payloads = Vec::with_capacity(count);
    let mut metadata = Vec::with_capacity(count);
    let mut positions = Vec::with_capacity(count);
    for new in events {
        let (event_type, event_version) = new.event.schema();
        lanes.push(new.lane.0);
        users.push(new.user.as_str());
        sequences.push(new.sequence);
        types.push(event_type);
        versions.push(event_version);
        payloads
            .push(serde_json::to_string(&new.event).map_err(|e| sqlx::Error::Encode(e.into()))?);
        metadata.push(new.metadata.as_ref());
        positions.push(new.position);
    }
    sqlx::query(include_str!("log/append.sql"))
        .bind(&lanes)
        .bind(&users)
        .bind(&sequences)
        .bind(&types)
        .bind(&versions)
        .bind(&payloads)
        .bind(&metadata)
        .bind(&positions)
        .bind(AGGREGATE_TYPE)
        .execute(connection)
        .await?;
    Ok(())
}
