//! `POST /v1/actions`: actions over HTTP, answered only once they are durable.

mod element;
mod names;
mod portions;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use plaudit_domain::lane::Position;
use plaudit_event_store::{Applied, Item, Origin, Outcome, Work};
use serde::Serialize;
use uuid::Uuid;

use crate::etag::{no_store, no_store_at};
use crate::input::{media_type, read_body, refuse_encoded};
use crate::openapi::{parameters, shapes};
use crate::problem::{Answer, InputError, Problem, ProblemBody};
use crate::state::{ApiState, Shared};
use crate::telemetry::RequestId;
use element::Element;
use portions::{Elements, portions};

/// The largest number of actions in a request.
pub const ACTIONS_MAX: usize = 1_000;
/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

const JSON: &str = "application/json";
const CLOUDEVENT: &str = "application/cloudevents+json";
const CLOUDEVENT_BATCH: &str = "application/cloudevents-batch+json";
const ACCEPTED_TYPES: &str = "application/json, application/cloudevents+json or application/cloudevents-batch+json, or one action in binary mode";

#[derive(Serialize)]
struct Outcomes {
    outcomes: Vec<ActionOutcome>,
}

#[derive(Serialize)]
struct ActionOutcome {
    source: Option<String>,
    id: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parked: Option<Uuid>,
}

/// `POST /v1/actions`.
#[utoipa::path(post, path = "/v1/actions", tag = "actions", operation_id = "sendActions",
    params(parameters::BinaryMode),
    request_body(description = "An array of up to 1,000 actions, or one action: both are taken with each of the types. Or the data of one action, with its attributes in `ce-` headers", content(
        (shapes::ActionList = "application/json"), (shapes::ActionList = "application/cloudevents-batch+json"),
        (shapes::Action = "application/cloudevents+json"))),
    responses(
        (status = 200, description = "One outcome for each action", body = shapes::Outcomes),
        (status = 413, description = "More than 1,000 actions or 16 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another media type", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn send(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let received_at = state.now();
    let mode = Mode::of(&headers)?;
    // Kept until the answer is built, as long as the body itself.
    let (body, _held) = read_body(body, BODY_BYTES_MAX, &state.in_flight).await?;
    let elements = computed(&state, body.len(), || mode.elements(&body)).await?;
    let latest = latest(received_at, state.future_tolerance);
    let (mut identities, mut of_users, mut applied) = (Vec::new(), Vec::new(), Vec::new());
    for (bytes, portion) in portions(&elements, state.in_flight.portion_bytes()) {
        let held = state.in_flight.admit_portion(bytes)?;
        let read = || {
            let read = portion.iter().map(|element| {
                let element = mode.element(&headers, element)?;
                let name = (element.source.clone(), element.id.clone());
                let (lane, work) = element.work(latest, state.executor.lane_count());
                Ok((name, Item { lane, work, origin: Origin::Request(request) }))
            });
            read.collect::<Answer<Vec<_>>>()
        };
        let (names, items): (Vec<_>, Vec<_>) =
            computed(&state, bytes, read).await?.into_iter().unzip();
        identities.extend(names);
        state.executor.catalogue().count_unmatched(&items);
        of_users.extend(items.iter().map(|item| is_of_user(&item.work)));
        applied.extend(state.submit(items, held).await?);
    }
    let outcomes = identities
        .into_iter()
        .zip(&applied)
        .map(|((source, id), applied)| outcome(source, id, applied));
    let body = Outcomes { outcomes: outcomes.collect() };
    Ok(common_position(of_users.into_iter().zip(&applied))
        .map_or_else(|| no_store(&body), |position| no_store_at(position, &body))
        as Response)
}

/// Bodies of this size or more are parsed off the runtime's threads.
const LARGE_BYTES: usize = 64 * 1024;

async fn computed<T>(state: &ApiState, bytes: usize, compute: impl FnOnce() -> T) -> T {
    if bytes < LARGE_BYTES { compute() } else { state.computing.run(compute).await }
}

/// Returns the latest time that an action may have.
pub(crate) fn latest(received_at: Timestamp, tolerance: Duration) -> Timestamp {
    received_at.checked_add(tolerance).unwrap_or(Timestamp::MAX)
}

/// The form of the actions in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// One action or an array of actions, as JSON.
    Structured,
    /// One action, with its attributes in `ce-` headers and its data in the body.
    Binary,
}

impl Mode {
    /// # Source
    ///
    /// `CloudEvents` HTTP protocol binding 1.0.2, section 3: the media type decides first.
    fn of(headers: &HeaderMap) -> Answer<Self> {
        refuse_encoded(headers)?;
        let media_type = media_type(headers);
        let media_type = media_type.as_deref();
        if matches!(media_type, Some(CLOUDEVENT | CLOUDEVENT_BATCH)) {
            return Ok(Self::Structured);
        }
        let binary = headers.keys().any(|name| name.as_str().starts_with("ce-"));
        match media_type {
            Some(kind) if binary && (kind == JSON || kind.ends_with("+json")) => Ok(Self::Binary),
            None if binary => Ok(Self::Binary),
            Some(JSON) => Ok(Self::Structured),
            _ => Err(Problem::UnsupportedMediaType(ACCEPTED_TYPES)),
        }
    }

    /// Returns the texts of the elements. In binary mode the body is the data of the only element.
    fn elements(self, body: &[u8]) -> Answer<Vec<&[u8]>> {
        match self {
            Self::Binary => Ok(vec![body]),
            Self::Structured => split(body),
        }
    }

    fn element(self, headers: &HeaderMap, text: &[u8]) -> Answer<Element> {
        match self {
            Self::Binary => Element::binary(headers, text),
            Self::Structured => Ok(Element::structured(text)),
        }
    }
}

/// Returns the elements of an array, or the one object. Each is parsed separately later, so that an
/// invalid element does not affect the others.
fn split(body: &[u8]) -> Answer<Vec<&[u8]>> {
    let no_json = |e: serde_json::Error| InputError::body("", format!("not valid JSON: {e}"));
    let elements: Elements<'_> = match body.iter().find(|b| !b.is_ascii_whitespace()) {
        None => {
            return Err(InputError::body(
                "",
                "the body is empty; it must be an action or an array of actions",
            )
            .into());
        }
        Some(b'[') => serde_json::from_slice(body).map_err(no_json)?,
        Some(b'{') => {
            Elements { kept: vec![serde_json::from_slice(body).map_err(no_json)?], count: 1 }
        }
        Some(_) => {
            return Err(InputError::body(
                "",
                "must be an action (an object) or an array of actions",
            )
            .into());
        }
    };
    match elements.count {
        0 => Err(InputError::body("", "the array is empty; send at least one action").into()),
        1..=ACTIONS_MAX => Ok(elements.kept.iter().map(|json| json.get().as_bytes()).collect()),
        count => Err(Problem::TooLarge(format!(
            "{count} actions in one request; the maximum is {ACTIONS_MAX}"
        ))),
    }
}

fn outcome(
    source: Option<String>,
    id: Option<String>,
    Applied { outcome, position }: &Applied,
) -> ActionOutcome {
    let at = Some(position.to_string());
    let (outcome, position, reason, parked) = match outcome {
        Outcome::Duplicate | Outcome::AlreadyApplied => ("duplicate", at, None, None),
        Outcome::Parked { id, reason } => ("parked", None, Some(reason.clone()), Some(*id)),
        // The rules refuse no action; its events hold what they decided.
        Outcome::Accepted
        | Outcome::Past(_)
        | Outcome::Claimed(_)
        | Outcome::ClaimRejected(_)
        | Outcome::ClaimedAll { .. }
        | Outcome::ChangedByHand(_)
        | Outcome::Revoked(_)
        | Outcome::ParkedResolved { .. }
        | Outcome::NotParked
        | Outcome::Behind(_)
        | Outcome::Rejected(_)
        | Outcome::Failed(_) => ("accepted", at, None, None),
    };
    ActionOutcome { source, id, outcome, position, reason, parked }
}

/// True if the user of an element is known.
fn is_of_user(work: &Work) -> bool {
    match work {
        Work::Park(record) => record.user.is_some(),
        _ => true,
    }
}

/// Returns the latest position of the elements with a known user, parked or not, if all of them lie
/// in one lane. Elements without a user lie in a lane that no reader could ask for.
fn common_position<'a>(
    applied: impl Iterator<Item = (bool, &'a Applied)> + Clone,
) -> Option<Position> {
    let positions = applied.filter(|(of_user, _)| *of_user).map(|(_, applied)| applied.position);
    let latest = positions.clone().max_by_key(|position| position.number)?;
    positions.clone().all(|position| position.lane == latest.lane).then_some(latest)
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_TYPE;
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn the_media_type_decides_how_actions_are_written() {
        let mode = |pairs| Mode::of(&headers(pairs)).ok();
        assert_eq!(
            mode(&[("content-type", "Application/JSON; charset=utf-8")]),
            Some(Mode::Structured)
        );
        assert_eq!(mode(&[("content-type", CLOUDEVENT), ("ce-id", "1")]), Some(Mode::Structured));
        assert_eq!(mode(&[("content-type", CLOUDEVENT_BATCH)]), Some(Mode::Structured));
        assert_eq!(mode(&[("content-type", JSON), ("ce-id", "1")]), Some(Mode::Binary));
        assert_eq!(mode(&[("ce-id", "1")]), Some(Mode::Binary));
        assert_eq!(mode(&[("content-type", "text/plain"), ("ce-id", "1")]), None);
        assert_eq!(mode(&[("content-type", "text/plain")]), None);
        assert_eq!(mode(&[]), None);
        assert_eq!(mode(&[("content-type", JSON), ("content-encoding", "gzip")]), None);
        assert!(headers(&[]).get(CONTENT_TYPE).is_none());
    }

    #[test]
    fn a_request_is_refused_whole_only_for_its_form() {
        assert_eq!(split(b" {\"any\": 1} ").unwrap().len(), 1);
        assert_eq!(split(b"[1, {}, \"x\"]").unwrap().len(), 3);
        for bad in [&b""[..], b"  ", b"[]", b"7", b"\"x\"", b"{", b"[{},]", b"{} {}", b"null"] {
            assert!(
                matches!(split(bad), Err(Problem::BadInput(_))),
                "{}",
                String::from_utf8_lossy(bad)
            );
        }
        let many = |count| format!("[{}]", vec!["1"; count].join(","));
        assert_eq!(split(many(ACTIONS_MAX).as_bytes()).unwrap().len(), ACTIONS_MAX);
        assert!(matches!(split(many(ACTIONS_MAX + 1).as_bytes()), Err(Problem::TooLarge(_))));
    }
}
