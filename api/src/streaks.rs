//! Amnesties: time spans over which no streak breaks.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_domain::action::instant;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{self, AmnestyError, AmnestyScope, DeclaredAmnesty};
use plaudit_release::Operator;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::etag::no_store;
use crate::input::{pointer_to, read_object};
use crate::problem::{Answer, InputError, Problem, ProblemBody};
use crate::state::{Shared, detached};
use crate::wire::operator_shapes;

/// The largest body, in bytes: a declaration holds two instants, a sentence and some task ids.
const BODY_BYTES_MAX: usize = 64 * 1024;

#[derive(Serialize)]
struct Amnesties {
    amnesties: Vec<DeclaredAmnesty>,
}

/// `GET /v1/streaks/amnesties`: all amnesties, the oldest declaration first.
#[utoipa::path(get, path = "/v1/streaks/amnesties", tag = "streaks", operation_id = "listAmnesties",
    responses((status = 200, description = "All amnesties", body = operator_shapes::Amnesties)))]
pub async fn list(State(state): State<Shared>) -> Answer {
    let amnesties = catalogue_store::amnesties(&state.operators).await?;
    Ok(no_store(&Amnesties { amnesties }))
}

/// `POST /v1/streaks/amnesties`: declares that no streak breaks over a time span. Repeating the
/// request declares nothing new.
#[utoipa::path(post, path = "/v1/streaks/amnesties", tag = "streaks", operation_id = "declareAmnesty",
    request_body(content = operator_shapes::AmnestyDeclaration),
    responses(
        (status = 200, description = "The amnesty; it is in force", body = operator_shapes::Amnesty),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn declare(
    State(state): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (fields, held) = read_object(&state, &headers, body, BODY_BYTES_MAX).await?;
    let Declaration { scope, reason } = Declaration::from_fields(fields)?;
    let pool = state.operators.clone();
    let declared = detached(async move {
        let asked = scope.clone();
        let declared =
            catalogue_store::declare_amnesty(&pool, scope, &caller.subject, &reason).await;
        drop(held);
        declared.map_err(|error| refused(&error, &asked))
    });
    Ok(no_store(&declared.await??))
}

fn refused(error: &AmnestyError, asked: &AmnestyScope) -> Problem {
    let named = |task: &TaskId| {
        let mut tasks = asked.tasks.iter().flatten();
        tasks
            .position(|id| id == task)
            .map_or("/tasks".to_owned(), |index| format!("/tasks/{index}"))
    };
    let pointer = match error {
        AmnestyError::EmptySpan { .. } => "/until".to_owned(),
        AmnestyError::NoTask => "/tasks".to_owned(),
        AmnestyError::UnknownTask(task) | AmnestyError::NotContinuous(task) => named(task),
        AmnestyError::TooMany => String::new(),
        AmnestyError::Store(error) => return error.into(),
    };
    InputError::body(pointer, error.to_string()).into()
}

/// The content of a declaration request.
#[derive(Debug, PartialEq, Eq)]
struct Declaration {
    scope: AmnestyScope,
    reason: String,
}

impl Declaration {
    fn from_fields(fields: Map<String, Value>) -> Answer<Self> {
        let (mut from, mut until, mut tasks, mut reason) = (None, None, None, None);
        let mut errors = Vec::new();
        for name in ["from", "until", "reason"] {
            if !fields.contains_key(name) {
                errors.push(InputError::body(pointer_to(name), "it is missing"));
            }
        }
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("from", value) => from = noted(moment(&value), "/from", &mut errors),
                ("until", value) => until = noted(moment(&value), "/until", &mut errors),
                ("tasks", Value::Null) => {}
                ("tasks", value) => tasks = ids(value, &mut errors),
                ("reason", value) => {
                    let checked = Operator::checked_reason(value.as_str().unwrap_or_default());
                    reason = noted(checked.map_err(|e| e.to_string()), "/reason", &mut errors);
                }
                (other, _) => errors.push(InputError::body(
                    pointer_to(other),
                    "an amnesty has `from`, `until`, `tasks` and `reason` only",
                )),
            }
        }
        match (from, until, reason) {
            (Some(from), Some(until), Some(reason)) if errors.is_empty() => {
                Ok(Self { scope: AmnestyScope { from, until, tasks }, reason })
            }
            _ => Err(Problem::BadInput(errors)),
        }
    }
}

fn noted<T>(read: Result<T, String>, pointer: &str, errors: &mut Vec<InputError>) -> Option<T> {
    read.map_err(|why| errors.push(InputError::body(pointer, why))).ok()
}

fn moment(value: &Value) -> Result<Timestamp, String> {
    let expected =
        || format!("must be an RFC 3339 instant, such as 2026-03-29T01:30:00Z, got {value}");
    instant(value.as_str().ok_or_else(expected)?).map_err(|_| expected())
}

fn ids(value: Value, errors: &mut Vec<InputError>) -> Option<Vec<TaskId>> {
    let Value::Array(items) = value else {
        errors.push(InputError::body("/tasks", "must be a list of task ids"));
        return None;
    };
    let id = |(index, item): (usize, Value)| {
        let read = item.as_str().map(str::parse::<TaskId>);
        let read = read.ok_or_else(|| "must be a task id".to_owned());
        let read = read.and_then(|id| id.map_err(|e| e.to_string()));
        noted(read, &format!("/tasks/{index}"), errors)
    };
    // Reads all items before it gives up, so that each error is named.
    let read: Vec<_> = items.into_iter().enumerate().map(id).collect();
    read.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_error_in_a_declaration_is_reported_with_its_place() {
        let places = |json: Value| -> Vec<String> {
            let Value::Object(fields) = json else { panic!("an object") };
            let Err(Problem::BadInput(errors)) = Declaration::from_fields(fields) else {
                panic!("refused")
            };
            errors.into_iter().filter_map(|error| error.pointer).collect()
        };
        assert_eq!(places(json!({})), ["/from", "/until", "/reason"]);
        let wrong =
            json!({"from": "yesterday", "until": 1, "reason": "", "tasks": ["a", 1, "B!"], "x": 1});
        let mut found = places(wrong);
        found.sort();
        assert_eq!(found, ["/from", "/reason", "/tasks/1", "/tasks/2", "/until", "/x"]);
    }
}
