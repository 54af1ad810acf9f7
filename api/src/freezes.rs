//! Freezes that are granted by hand. A grant is committed before it is answered.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::Rejection;
use plaudit_event_store::{Origin, Outcome, Work};
use serde::Serialize;
use serde_json::Value;

use crate::auth::Caller;
use crate::claims::{apply, integer, now, unexpected};
use crate::etag::no_store_at;
use crate::input::{
    TaskPath, UserPath, media_type, pointer_to, read_body, refuse_encoded, unknown_task,
    unless_unknown,
};
use crate::openapi::{parameters, shapes};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::state::Shared;
use crate::telemetry::RequestId;

/// A grant holds a number and a sentence.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

#[derive(Serialize)]
struct FreezesGranted {
    user: UserId,
    task: TaskId,
    position: String,
    granted_at: Timestamp,
    granted: i64,
    dropped: i64,
    freezes: i64,
}

/// `POST /v1/users/{user}/tasks/{task}/freezes`: gives a user freezes, which protect periods that end later.
#[utoipa::path(post, path = "/v1/users/{user}/tasks/{task}/freezes", tag = "users", operation_id = "grantFreezes",
    params(parameters::User, parameters::Task),
    request_body(content = shapes::FreezeGrant),
    responses(
        (status = 200, description = "What was added, and what was dropped above `max`", body = shapes::GrantedFreezes),
        (status = 409, description = "The task is not continuous", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn grant(
    State(state): State<Shared>,
    Extension(RequestId(request)): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    UserPath(user): UserPath,
    TaskPath(task): TaskPath,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response> {
    let at = now();
    let asked = async {
        let (body, held) = read_body(body, BODY_BYTES_MAX, &state.in_flight).await?;
        Ok((FreezeGrant::read(&headers, &body)?, held))
    };
    let (FreezeGrant { count, reason }, held) = match asked.await {
        Ok(asked) => asked,
        Err(wrong) => return Err(unless_unknown(&state, &task, wrong).await),
    };
    let by = Some(caller.subject.clone());
    let (of, on) = (user.clone(), task.clone());
    let work = Work::GrantFreezes { id: request, user: of, task: on, count, reason, by, at };
    let applied = apply(&state, &user, work, Origin::Request(request), held).await?;
    match applied.outcome {
        Outcome::FreezesGranted { granted, dropped, freezes } => {
            let position = applied.position.to_string();
            let granted_at = at;
            let answer =
                FreezesGranted { user, task, position, granted_at, granted, dropped, freezes };
            Ok(no_store_at(applied.position, &answer))
        }
        Outcome::Rejected(Rejection::UnknownTask { task }) => Err(unknown_task(task)),
        Outcome::Rejected(rejection @ Rejection::NoStreak { .. }) => {
            Err(Problem::Conflict { cause: &causes::NO_STREAK, detail: rejection.to_string() })
        }
        other => Err(unexpected(&other)),
    }
}

/// The content of a grant.
#[derive(Debug, PartialEq, Eq)]
struct FreezeGrant {
    count: i64,
    reason: Option<String>,
}

impl FreezeGrant {
    fn read(headers: &HeaderMap, body: &[u8]) -> Answer<Self> {
        refuse_encoded(headers)?;
        if media_type(headers).is_none_or(|kind| kind != "application/json") {
            return Err(Problem::UnsupportedMediaType("application/json"));
        }
        let json = serde_json::from_slice(body)
            .map_err(|e| InputError::body("", format!("not valid JSON: {e}")))?;
        Self::from_json(json)
    }

    fn from_json(json: Value) -> Answer<Self> {
        let Value::Object(fields) = json else {
            return Err(InputError::body("", "an object with `count` is expected").into());
        };
        let (mut count, mut reason, mut errors) = (None, None, Vec::new());
        if !fields.contains_key("count") {
            errors.push(InputError::body("/count", "it is missing: how many freezes to grant"));
        }
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("count", value) => match integer(&value).filter(|count| *count >= 1) {
                    Some(given) => count = Some(given),
                    None => {
                        errors.push(InputError::body("/count", "an integer of at least 1 is wanted"));
                    }
                },
                ("reason", Value::Null) => {}
                ("reason", Value::String(given)) if is_reason(&given) => reason = Some(given),
                ("reason", _) => errors.push(InputError::body(
                    "/reason",
                    format!(
                        "a text of 1 to {REASON_CHARS_MAX} characters without control characters is wanted"
                    ),
                )),
                (other, _) => errors.push(InputError::body(
                    pointer_to(other),
                    "a grant of freezes has `count` and `reason` only",
                )),
            }
        }
        match count {
            Some(count) if errors.is_empty() => Ok(Self { count, reason }),
            _ => Err(Problem::BadInput(errors)),
        }
    }
}

fn is_reason(text: &str) -> bool {
    (1..=REASON_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_has_a_count_and_maybe_a_reason() {
        let read = |json| FreezeGrant::from_json(json).unwrap();
        assert_eq!(read(json!({"count": 2})), FreezeGrant { count: 2, reason: None });
        assert_eq!(
            read(json!({"count": 1.0, "reason": "an outage"})),
            FreezeGrant { count: 1, reason: Some("an outage".to_owned()) }
        );
    }

    #[test]
    fn every_error_in_a_grant_is_reported_with_its_place() {
        for (json, places) in [
            (json!({}), vec!["/count"]),
            (json!({"count": 0, "reason": 1, "more": 1}), vec!["/count", "/more", "/reason"]),
            (json!({"count": 1.5, "reason": "a\u{0}b"}), vec!["/count", "/reason"]),
        ] {
            let Err(Problem::BadInput(errors)) = FreezeGrant::from_json(json) else {
                panic!("refused")
            };
            let mut pointers: Vec<_> =
                errors.iter().filter_map(|error| error.pointer.as_deref()).collect();
            pointers.sort_unstable();
            assert_eq!(pointers, places);
        }
    }
}
