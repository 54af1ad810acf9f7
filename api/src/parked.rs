//! Parked records: those that could not be understood or applied.

use axum::extract::State;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use plaudit_event_store::parked::{self, Parked};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::etag::no_store;
use crate::input::Query;
use crate::openapi::{operator_shapes, parameters};
use crate::problem::Answer;
use crate::state::Shared;

#[derive(Serialize)]
struct ParkedList {
    parked: Vec<ParkedEntry>,
    next: Option<Uuid>,
}

#[derive(Serialize)]
struct ParkedEntry {
    id: Uuid,
    reason: String,
    repairable: bool,
    user: Option<String>,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    headers: Value,
    bytes: String,
    at: Timestamp,
}

/// `GET /v1/parked`, oldest first. Large records make short pages.
#[utoipa::path(get, path = "/v1/parked", tag = "parked", operation_id = "listParked",
    params(parameters::Page),
    responses(
        (status = 200, description = "Parked records", body = operator_shapes::ParkedList),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<Uuid>("after"), query.limit());
    query.finish()?;
    let page = parked::page(&state.pool, after, i64::from(limit)).await?;
    let parked = page.parked.into_iter().map(entry).collect();
    Ok(no_store(&ParkedList { parked, next: page.next }))
}

fn entry(parked: Parked) -> ParkedEntry {
    ParkedEntry {
        id: parked.id,
        reason: parked.reason,
        repairable: parked.repairable,
        user: parked.user,
        topic: parked.topic,
        partition: parked.partition,
        offset: parked.offset,
        headers: parked.headers,
        bytes: STANDARD.encode(parked.bytes),
        at: parked.at,
    }
}
