//! Grants, the progress of their deliveries, and revocations by operators.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::{Change, RewardState};
use plaudit_event_store::HandChange;
use plaudit_event_store::deliveries::{self, Filter, GrantEntry, GrantList, GrantReport};
use plaudit_event_store::rewards::handed_over;
use serde::Serialize;
use uuid::Uuid;

use crate::auth::Caller;
use crate::corrections::{Author, correct, other_change};
use crate::etag::{no_store, no_store_at};
use crate::input::{GrantPath, Query, unknown_grant};
use crate::problem::{Answer, InputError, ProblemBody};
use crate::reason::HandBody;
use crate::state::{ApiState, Shared};
use crate::telemetry::RequestId;
use crate::wire::{grant_shapes, parameters, shapes};

/// `GET /v1/grants`: in a stable order without a meaning.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", operation_id = "listGrants",
    params(parameters::Page,
        ("state" = inline(Option<shapes::RewardState>), Query, description = "Only grants in this state; with `failed` also those that stay delivered, but did not reach their payer when they were sent again"),
        ("code" = Option<String>, Query, description = "Only grants of this code")),
    responses(
        (status = 200, description = "Grants with their deliveries", body = grant_shapes::Grants),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<Uuid>("after"), query.limit());
    let requested_state = query.parsed::<RewardState>("state");
    let code = query.text("code");
    query.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = Filter { state: requested_state, code, after, limit, ..Filter::default() };
    let page = deliveries::list(&state.operators, &filter).await?.ok_or_else(|| {
        InputError::parameter("after", "unknown grant; use `next` of the previous page")
    })?;
    Ok(no_store(&GrantList::from(page)))
}

/// `GET /v1/grants/{grant}`.
#[utoipa::path(get, path = "/v1/grants/{grant}", tag = "grants", operation_id = "showGrant",
    params(parameters::Grant),
    responses((status = 200, description = "The grant with its deliveries", body = grant_shapes::Grant)))]
pub async fn show(State(state): State<Shared>, GrantPath(grant): GrantPath) -> Answer {
    Ok(no_store(&GrantReport::from(entry_of(&state, grant).await?)))
}

pub async fn entry_of(state: &ApiState, grant: Uuid) -> Answer<GrantEntry> {
    let found = deliveries::find(&state.operators, grant).await?;
    found.ok_or_else(|| unknown_grant(grant))
}

#[derive(Serialize)]
struct Revocation {
    grant: Uuid,
    user: UserId,
    position: String,
    revoked_at: Timestamp,
    revoked: Vec<Uuid>,
    may_be_paid: Vec<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
}

/// `POST /v1/grants/{grant}/revoke`: takes back a reward that is neither on its way to the payer
/// nor paid.
#[utoipa::path(post, path = "/v1/grants/{grant}/revoke", tag = "grants", operation_id = "revoke",
    params(parameters::Grant, parameters::Idempotency),
    request_body(content = grant_shapes::RevocationRequest),
    responses(
        (status = 200, description = "The revoked grants", body = grant_shapes::Revocation),
        (status = 409, description = "The reward is being delivered, or is in a final state", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn revoke(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    GrantPath(grant): GrantPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let entry = entry_of(&state, grant).await?;
    let author = Author::read(request, &caller, &headers)?;
    let (mut body, held) = HandBody::read(&state, &headers, body).await?;
    let reason = body.required_reason();
    let whole_milestone = body.flag("whole_milestone");
    body.finish()?;
    let change = Change::Revoke { grant, whole_milestone };
    let change = (change, entry.revoked_with_milestone().cloned());
    let (receipt, at_or_after) =
        correct(&state, &entry.user, change, (&author, reason), held).await?;
    let HandChange::RewardsRevoked { grants: revoked } = receipt.change else {
        return Err(other_change());
    };
    let (lane, user, position, revoked_at) = (entry.lane, entry.user, receipt.position, receipt.at);
    let mut connection = state.operators.acquire().await?;
    let may_be_paid = handed_over::handed_over(lane, &user, &revoked, &mut connection).await?;
    let warning = (!may_be_paid.is_empty()).then_some(handed_over::MAY_BE_PAID);
    let answer = Revocation { grant, user, position, revoked_at, revoked, may_be_paid, warning };
    Ok(no_store_at(at_or_after, &answer))
}
