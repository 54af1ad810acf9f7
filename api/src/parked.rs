//! Parked records: those that could not be read or applied.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use plaudit_domain::lane::Position;
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::parked;
use plaudit_release::{Operator, ReleaseReport, ResolveError};
use uuid::Uuid;

use crate::auth::Caller;
use crate::etag::{no_store, no_store_at};
use crate::input::{KnownParked, Query};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::reason::{HandBody, Signed};
use crate::state::{Shared, detached};
use crate::wire::{operator_shapes, parameters};

/// `GET /v1/parked`, oldest first. Large records make short pages.
#[utoipa::path(get, path = "/v1/parked", tag = "parked", operation_id = "listParked",
    params(parameters::Page),
    responses(
        (status = 200, description = "Parked records", body = operator_shapes::ParkedList),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<Uuid>("after"), query.limit());
    query.finish()?;
    if let Some(after) = after
        && !parked::is_known(&state.operators, after).await?
    {
        let unknown = "unknown record; use `next` of the previous page";
        return Err(InputError::parameter("after", unknown).into());
    }
    Ok(no_store(&parked::page(&state.operators, after, i64::from(limit)).await?))
}

/// `POST /v1/parked/{id}/release`: applies a record again, then the records that waited behind it.
#[utoipa::path(post, path = "/v1/parked/{id}/release", tag = "parked", operation_id = "releaseParked",
    params(parameters::ParkedRecord),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The result, with the actions that were applied", body = operator_shapes::Resolved),
        (status = 409, description = "The record can't be applied, or not yet", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn release(
    State(state): State<Shared>,
    KnownParked(id): KnownParked,
    Signed(Author { by, reason }): Signed,
) -> Answer {
    let resolver = state.resolver.clone();
    // The records behind it are applied even if the operator hangs up.
    let released = detached(async move { resolver.release(id, &Operator { by, reason }).await });
    let released = released.await??;
    Ok(resolved(released.position, &ReleaseReport::released(released)))
}

/// `POST /v1/parked/{id}/discard`: drops a record for good and applies those that waited behind it.
#[utoipa::path(post, path = "/v1/parked/{id}/discard", tag = "parked", operation_id = "discardParked",
    params(parameters::ParkedRecord),
    request_body(content = operator_shapes::DiscardRequest),
    responses(
        (status = 200, description = "The result, with the actions that had waited behind the record", body = operator_shapes::Resolved),
        (status = 409, description = "The record waits behind another one, or is no longer parked", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn discard(
    State(state): State<Shared>,
    Extension(caller): Extension<Caller>,
    KnownParked(id): KnownParked,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (mut body, _held) = HandBody::read(&state, &headers, body).await?;
    let reason = body.required_reason();
    body.finish()?;
    let resolver = state.resolver.clone();
    let discarded = detached(async move { resolver.discard(id, &caller.subject, reason).await });
    let discarded = discarded.await??;
    Ok(resolved(discarded.position, &ReleaseReport::discarded(discarded)))
}

fn resolved(position: Option<Position>, report: &ReleaseReport) -> axum::response::Response {
    match position {
        Some(position) => no_store_at(position, report),
        None => no_store(report),
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        let detail = error.to_string();
        let cause = match error {
            ResolveError::Unknown(_) => {
                return Self::NotFound { cause: &causes::UNKNOWN_PARKED, detail };
            }
            ResolveError::Store(error) => return Self::from(error.as_ref()),
            ResolveError::Resolved { .. } => &causes::PARKED_RESOLVED,
            ResolveError::Behind { .. } => &causes::PARKED_BEHIND,
            ResolveError::TooEarly(_) => &causes::PARKED_TOO_EARLY,
            ResolveError::Unapplied(_) => &causes::PARKED_UNAPPLIED,
        };
        Self::Conflict { cause, detail }
    }
}
