//! `POST /v1/tasks/simulate`: dry runs.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_actions::cloud_events;
use plaudit_audit::{Simulation, SimulationError, SimulationInput};
use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;
use serde_json::{Map, Value};

use super::publication::{conflict_error, input_error};
use crate::actions::{ACTIONS_MAX, latest};
use crate::etag::no_store;
use crate::input::{pointer_to, read_object};
use crate::problem::{Answer, InputError, Problem, ProblemBody};
use crate::state::Shared;
use crate::wire::catalogue_shapes;

/// The largest body, in bytes: a task file and the actions.
pub(super) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `POST /v1/tasks/simulate`: the effect of actions under the catalogue in force or with drafts.
/// Writes nothing.
#[utoipa::path(post, path = "/v1/tasks/simulate", tag = "tasks", operation_id = "simulate",
    request_body(description = "A task file, and the user or the actions to try", content((catalogue_shapes::SimulationInput = "application/json"))),
    responses(
        (status = 200, description = "The effect of the actions", body = catalogue_shapes::Simulation),
        (status = 413, description = "Too large, or too much to compute", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn simulate(State(state): State<Shared>, headers: HeaderMap, body: Body) -> Answer {
    let (fields, held) = read_object(&state, &headers, body, BODY_BYTES_MAX).await?;
    let now = state.now();
    let mut input = state.computing.run(|| read(fields, now)).await?;
    input.latest = Some(latest(now, state.future_tolerance));
    let drafts = input.drafts.clone();
    let refused = |error: SimulationError| match error {
        SimulationError::Conflicts(conflicts) => Problem::BadInput(
            conflicts
                .iter()
                .map(|conflict| {
                    let mut error = conflict_error(conflict, &drafts);
                    error.pointer = error.pointer.map(|pointer| format!("/file{pointer}"));
                    error
                })
                .collect(),
        ),
        SimulationError::OtherUser { index, .. } => {
            InputError::body(format!("/actions/{index}/subject"), error.to_string()).into()
        }
        SimulationError::TooLong => Problem::TooLarge(error.to_string()),
        SimulationError::Audit(error) => error.into(),
    };
    let (lanes, catalogue) = (state.executor.lane_count(), state.executor.catalogue());
    let prepared =
        Simulation::prepare(input, lanes, catalogue, &state.operators).await.map_err(&refused)?;
    let simulated = state.computing.run(|| prepared.run()).await;
    drop(held);
    Ok(no_store(&simulated.map_err(&refused)?))
}

fn read(fields: Map<String, Value>, now: Timestamp) -> Answer<SimulationInput> {
    let mut input =
        SimulationInput { user: None, actions: vec![], drafts: vec![], latest: None, now };
    let mut errors = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("user", Value::String(user)) => match UserId::try_from(user) {
                Ok(user) => input.user = Some(user),
                Err(why) => errors.push(InputError::body("/user", why.to_string())),
            },
            ("user", _) => errors.push(InputError::body("/user", "must be a user id")),
            ("actions", Value::Array(actions)) if actions.len() <= ACTIONS_MAX => {
                for (index, action) in actions.iter().enumerate() {
                    match read_action(action) {
                        Ok(action) => input.actions.push(action),
                        Err(why) => {
                            errors.push(InputError::body(format!("/actions/{index}"), why));
                        }
                    }
                }
            }
            ("actions", _) => errors.push(InputError::body(
                "/actions",
                format!("must be an array of at most {ACTIONS_MAX} actions"),
            )),
            // YAML as a string, or the same content as JSON.
            ("file", file @ (Value::String(_) | Value::Object(_))) => {
                let text = match file {
                    Value::String(text) => text,
                    json => json.to_string(),
                };
                match plaudit_task_file::parse(&text) {
                    Ok(drafts) => input.drafts = drafts,
                    Err(found) => errors.extend(found.iter().map(|diagnostic| {
                        let mut error = input_error(diagnostic);
                        error.pointer = error.pointer.map(|pointer| format!("/file{pointer}"));
                        error
                    })),
                }
            }
            ("file", _) => errors.push(InputError::body("/file", "must be a task file")),
            (other, _) => errors.push(InputError::body(
                pointer_to(other),
                "unknown field; a dry run has `file`, `user` and `actions`",
            )),
        }
    }
    if errors.is_empty() && input.user.is_none() && input.actions.is_empty() {
        let why = "`actions` or `user` is required";
        errors.push(InputError::body("", why));
    }
    if errors.is_empty() { Ok(input) } else { Err(Problem::BadInput(errors)) }
}

pub(super) fn read_action(action: &Value) -> Result<Action, String> {
    cloud_events::from_json(action).map_err(|why| why.to_string())
}
