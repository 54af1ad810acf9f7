//! The queries of auditors, over HTTP.

use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_audit::{AuditError, Explanation, History, HistoryQuery, Moment, StateAt};
use plaudit_event_store::{lanes, operations};
use uuid::Uuid;

use crate::etag::{no_store, no_store_at};
use crate::input::{GrantPath, Query, UserPath, locale, plus_restored, unknown_grant};
use crate::position::AtLeast;
use crate::problem::{Answer, InputError, Problem, ProblemBody};
use crate::state::Shared;
use crate::wire::{audit_shapes, parameters};

/// `GET /v1/audit/users/{user}/history`: events in order.
#[utoipa::path(get, path = "/v1/audit/users/{user}/history", tag = "audit", operation_id = "showHistory",
    params(parameters::User, parameters::AtLeast, parameters::Waiting, parameters::Page,
        ("from" = Option<String>, Query, description = "Stored at this instant or later", format = DateTime),
        ("until" = Option<String>, Query, description = "Stored before this instant", format = DateTime)),
    responses(
        (status = 200, description = "Events in order", body = audit_shapes::History),
    ))]
pub async fn history(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let asked = HistoryQuery {
        after: query.parsed::<i64>("after").unwrap_or(0),
        limit: usize::try_from(query.limit()).unwrap_or(usize::MAX),
        from: query.instant("from"),
        until: query.instant("until"),
    };
    query.finish()?;
    at_least.reached(&state).await?;
    let mut connection = state.operators.acquire().await?;
    let head = lanes::head(lane, &mut connection).await?;
    let found = History::read(lane, &user, &asked, &mut connection).await?;
    Ok(no_store_at(head, &found))
}

/// `GET /v1/audit/users/{user}/state`: the task screen at a past moment, folded from the log.
#[utoipa::path(get, path = "/v1/audit/users/{user}/state", tag = "audit", operation_id = "showState",
    params(parameters::User, parameters::AtLeast, parameters::Waiting, parameters::Locale,
        ("at" = Option<String>, Query, description = "An instant (RFC 3339) or a sequence number; absent: now")),
    responses(
        (status = 200, description = "The task screen as it was", body = audit_shapes::StateThen),
        (status = 409, description = "An event before that moment can't be read", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn state(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let locale = locale(&mut query, &headers);
    let asked = query
        .text("at")
        .and_then(|text| query.checked("at", plus_restored(&text).parse::<Moment>()));
    query.finish()?;
    at_least.reached(&state).await?;
    let catalogue = state.executor.catalogue();
    let then =
        StateAt::read(user, lane, asked, locale.as_deref(), catalogue, &state.operators).await?;
    Ok(no_store_at(then.position, &then))
}

/// `GET /v1/audit/users/{user}/verify`: recomputes the hash chain of the user's events and compares
/// it.
#[utoipa::path(get, path = "/v1/audit/users/{user}/verify", tag = "audit", operation_id = "verifyUser",
    params(parameters::User),
    responses(
        (status = 200, description = "The result of the verification", body = audit_shapes::UserVerification),
    ))]
pub async fn verify(State(state): State<Shared>, UserPath(user): UserPath) -> Answer {
    let found =
        plaudit_digests::verify::user(&state.operators, state.lane_of(&user), &user).await?;
    Ok(no_store(&found))
}

/// `GET /v1/audit/grants/{grant}`: the origin of a grant and its progress since.
#[utoipa::path(get, path = "/v1/audit/grants/{grant}", tag = "audit", operation_id = "explainGrant",
    params(parameters::Grant),
    responses(
        (status = 200, description = "Message, command, events, grant, deliveries", body = audit_shapes::Explanation),
    ))]
pub async fn explain(State(state): State<Shared>, GrantPath(grant): GrantPath) -> Answer {
    let found = Explanation::read(grant, &state.operators).await?;
    Ok(no_store(&found.ok_or_else(|| unknown_grant(grant))?))
}

/// `GET /v1/audit/operations`: operations that are not events of a user, the latest first.
#[utoipa::path(get, path = "/v1/audit/operations", tag = "audit", operation_id = "listOperations",
    params(parameters::Page),
    responses(
        (status = 200, description = "Operations, the latest first", body = audit_shapes::Operations),
    ))]
pub async fn operations(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<Uuid>("after"), query.limit());
    query.finish()?;
    let page = operations::list(after, limit, &state.operators).await?.ok_or_else(|| {
        InputError::parameter("after", "unknown operation; use `next` of the previous page")
    })?;
    Ok(no_store(&page))
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        let detail = error.to_string();
        match error {
            AuditError::Unreadable { .. } => {
                Self::Conflict { cause: &crate::problem::causes::UNREADABLE_HISTORY, detail }
            }
            AuditError::Store(error) => error.into(),
            AuditError::Json(error) => {
                tracing::error!(%error, "an event can't be written as JSON");
                Self::Internal
            }
        }
    }
}
