//! `POST /v1/tasks/{task}/why`: the reasons why a task does not move for a user.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_audit::{SimulationError, Why, WhyError, WhyInput};
use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;
use serde_json::{Map, Value};

use super::simulation::{BODY_BYTES_MAX, read_action};
use crate::actions::latest;
use crate::etag::no_store;
use crate::input::{KnownTask, pointer_to, read_object, unknown_task};
use crate::problem::{Answer, InputError, Problem, ProblemBody};
use crate::state::Shared;
use crate::wire::{catalogue_shapes, parameters};

/// `POST /v1/tasks/{task}/why`: the reasons why the task does not move for a user, or would not
/// move by an action. Writes nothing.
#[utoipa::path(post, path = "/v1/tasks/{task}/why", tag = "tasks", operation_id = "explainTask",
    params(parameters::Task),
    request_body(description = "The user, and an action to try", content((catalogue_shapes::WhyInput = "application/json"))),
    responses(
        (status = 200, description = "The reasons why the task does not move", body = catalogue_shapes::Why),
        (status = 409, description = "An event of the user can't be read", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too much to compute", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn why(
    State(state): State<Shared>,
    KnownTask(task): KnownTask,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let (fields, held) = read_object(&state, &headers, body, BODY_BYTES_MAX).await?;
    let (user, action) = read(fields)?;
    let (lanes, catalogue) = (state.executor.lane_count(), state.executor.catalogue());
    let now = state.now();
    let latest = Some(latest(now, state.future_tolerance));
    let input = WhyInput { user, task, action, latest, now };
    let prepared = Why::prepare(input, lanes, catalogue, &state.operators).await?;
    let why = state.computing.run(|| prepared.run()).await;
    drop(held);
    Ok(no_store(&why?))
}

fn read(fields: Map<String, Value>) -> Answer<(UserId, Option<Action>)> {
    let (mut user, mut action, mut errors) = (None, None, Vec::new());
    if !fields.contains_key("user") {
        errors.push(InputError::body("/user", "it is missing"));
    }
    for (name, value) in fields {
        match name.as_str() {
            "user" => match value.as_str().map(str::parse::<UserId>) {
                Some(Ok(id)) => user = Some(id),
                Some(Err(why)) => errors.push(InputError::body("/user", why.to_string())),
                None => errors.push(InputError::body("/user", "must be a user id")),
            },
            "action" if value.is_null() => {}
            "action" => match read_action(&value) {
                Ok(read) => action = Some(read),
                Err(why) => errors.push(InputError::body("/action", why)),
            },
            other => errors.push(InputError::body(
                pointer_to(other),
                "unknown field; an explanation takes `user` and `action`",
            )),
        }
    }
    match user {
        Some(user) if errors.is_empty() => Ok((user, action)),
        _ => Err(Problem::BadInput(errors)),
    }
}

impl From<WhyError> for Problem {
    fn from(error: WhyError) -> Self {
        match error {
            WhyError::UnknownTask(task) => unknown_task(task),
            WhyError::Audit(error) | WhyError::Simulation(SimulationError::Audit(error)) => {
                error.into()
            }
            WhyError::Simulation(error @ SimulationError::TooLong) => {
                Self::TooLarge(error.to_string())
            }
            WhyError::Simulation(error @ SimulationError::OtherUser { .. }) => {
                InputError::body("/action/subject", error.to_string()).into()
            }
            // Only drafts can cause this, and an explanation has none.
            WhyError::Simulation(error @ SimulationError::Conflicts(_)) => {
                InputError::body("", error.to_string()).into()
            }
        }
    }
}
