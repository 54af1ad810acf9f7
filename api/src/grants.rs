//! Grants and how their deliveries go; an operator has them delivered again.

use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use plaudit_domain::user_tasks::{Rejection, RewardState};
use plaudit_event_store::deliveries::{self, Filter, GrantReport};
use plaudit_event_store::{Origin, Outcome, Work};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::auth::Caller;
use crate::claims::{apply, now, unexpected};
use crate::etag::{no_store, no_store_at};
use crate::input::{
    Query, decode_segment, media_type, path_segment, pointer_to, read_body, refuse_encoded,
};
use crate::openapi::{operator_shapes, parameters, shapes};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::state::Shared;
use crate::telemetry::RequestId;

/// A reason is a sentence or two.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

/// The grant in a path. What is no id is an unknown grant.
#[derive(Debug)]
pub struct GrantPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for GrantPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let raw = path_segment("grant", parts);
        let text = decode_segment(raw).unwrap_or(raw.into());
        Uuid::try_parse(&text).map(Self).map_err(|_| unknown_grant(&text))
    }
}

fn unknown_grant(grant: impl std::fmt::Display) -> Problem {
    let detail = format!("there is no grant {grant}");
    Problem::NotFound { cause: &causes::UNKNOWN_GRANT, detail }
}

#[derive(Serialize)]
struct Grants {
    grants: Vec<GrantReport>,
    next: Option<Uuid>,
}

/// `GET /v1/grants`: in no order that means anything, but always the same.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", operation_id = "listGrants",
    params(parameters::Page,
        ("state" = inline(Option<shapes::RewardState>), Query, description = "Only grants in this state"),
        ("code" = Option<String>, Query, description = "Only grants of this code")),
    responses(
        (status = 200, description = "Grants with their deliveries", body = operator_shapes::Grants),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<Uuid>("after"), query.limit());
    let state_wanted = query.parsed::<RewardState>("state");
    let code = query.text("code");
    query.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let filter = Filter { state: state_wanted, code, after, limit };
    let page = deliveries::list(&state.pool, &filter).await?.ok_or_else(|| {
        InputError::parameter(
            "after",
            "there is no such grant; `next` of the page before is wanted",
        )
    })?;
    let grants = page.grants.into_iter().map(GrantReport::from).collect();
    Ok(no_store(&Grants { grants, next: page.next }))
}

/// `GET /v1/grants/{grant}`.
#[utoipa::path(get, path = "/v1/grants/{grant}", tag = "grants", operation_id = "showGrant",
    params(parameters::Grant),
    responses((status = 200, description = "The grant with its deliveries", body = operator_shapes::Grant)))]
pub async fn show(State(state): State<Shared>, GrantPath(grant): GrantPath) -> Answer {
    let found = deliveries::find(&state.pool, grant).await?;
    let report = found.map(GrantReport::from).ok_or_else(|| unknown_grant(grant))?;
    Ok(no_store(&report))
}

#[derive(Serialize)]
struct Redelivery {
    grant: Uuid,
    user: String,
    position: String,
}

/// `POST /v1/grants/{grant}/redeliver`: the reward is sent again, under the same id.
#[utoipa::path(post, path = "/v1/grants/{grant}/redeliver", tag = "grants", operation_id = "redeliver",
    params(parameters::Grant),
    request_body(content = operator_shapes::RequiredReason),
    responses(
        (status = 200, description = "It will be sent again", body = operator_shapes::Redelivery),
        (status = 409, description = "It is not claimed, or it was delivered", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn redeliver(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    GrantPath(grant): GrantPath,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (body, held) = read_body(body, BODY_BYTES_MAX, &state.in_flight).await?;
    let reason = reason_of(&headers, &body)?;
    let found = deliveries::find(&state.pool, grant).await?;
    let entry = found.ok_or_else(|| unknown_grant(grant))?;
    let work = Work::Redeliver {
        user: entry.user.clone(),
        grant,
        by: caller.subject.clone(),
        reason,
        at: now(),
        even_if_delivered: false,
    };
    let applied = apply(&state, &entry.user, work, Origin::Request(request), held).await?;
    match applied.outcome {
        Outcome::Accepted => {
            let (user, position) = (entry.user.to_string(), applied.position.to_string());
            Ok(no_store_at(applied.position, &Redelivery { grant, user, position }))
        }
        Outcome::Rejected(Rejection::UnknownGrant { .. }) => Err(unknown_grant(grant)),
        Outcome::Rejected(rejection) => {
            let (cause, detail) = (&causes::NOT_REDELIVERABLE, rejection.to_string());
            Err(Problem::Conflict { cause, detail })
        }
        outcome => Err(unexpected(&outcome)),
    }
}

/// The `reason` of a change by hand, which is required.
fn reason_of(headers: &HeaderMap, body: &[u8]) -> Answer<String> {
    refuse_encoded(headers)?;
    let is_empty = body.iter().all(u8::is_ascii_whitespace);
    if !is_empty && media_type(headers).is_some_and(|kind| kind != "application/json") {
        return Err(Problem::UnsupportedMediaType("application/json"));
    }
    let wanted = || InputError::body("/reason", "why it is done; 1 to 1,000 characters are wanted");
    if is_empty {
        return Err(wanted().into());
    }
    let json: Value = serde_json::from_slice(body)
        .map_err(|e| InputError::body("", format!("not valid JSON: {e}")))?;
    let Value::Object(mut fields) = json else {
        return Err(InputError::body("", "an object with `reason` is wanted").into());
    };
    let reason = fields.remove("reason");
    let mut errors: Vec<InputError> = fields
        .keys()
        .map(|other| InputError::body(pointer_to(other), "there is `reason` only"))
        .collect();
    match reason.as_ref().and_then(Value::as_str).map(str::trim) {
        Some(reason) if (1..=REASON_CHARS_MAX).contains(&reason.chars().count()) => {
            if errors.is_empty() { Ok(reason.to_owned()) } else { Err(Problem::BadInput(errors)) }
        }
        _ => {
            errors.push(wanted());
            Err(Problem::BadInput(errors))
        }
    }
}
