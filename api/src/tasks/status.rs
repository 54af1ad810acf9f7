//! Pausing, resuming and retiring a task.

use axum::extract::State;
use plaudit_domain::catalogue::Status;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store;
use serde::Serialize;

use super::publication::refused;
use crate::etag::no_store;
use crate::input::KnownTask;
use crate::problem::{Answer, ProblemBody};
use crate::reason::Signed;
use crate::state::{Shared, detached};
use crate::wire::{catalogue_shapes, operator_shapes, parameters};

#[derive(Serialize)]
struct Changed {
    task: TaskId,
    status: Status,
    /// The tasks that need it and have to do without it now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    needed_by: Vec<TaskId>,
}

/// `POST /v1/tasks/{task}/pause`: the task makes no progress until it is resumed; claims stay
/// possible.
#[utoipa::path(post, path = "/v1/tasks/{task}/pause", tag = "tasks", operation_id = "pauseTask",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The task is paused", body = catalogue_shapes::StatusChanged),
        (status = 409, description = "It is retired", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn pause(state: State<Shared>, task: KnownTask, by: Signed) -> Answer {
    set(state, task, by, Status::Paused).await
}

/// `POST /v1/tasks/{task}/resume`: a paused task makes progress again.
#[utoipa::path(post, path = "/v1/tasks/{task}/resume", tag = "tasks", operation_id = "resumeTask",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The task is active", body = catalogue_shapes::StatusChanged),
        (status = 409, description = "It is retired", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn resume(state: State<Shared>, task: KnownTask, by: Signed) -> Answer {
    set(state, task, by, Status::Active).await
}

/// `POST /v1/tasks/{task}/retire`: the task never makes progress again; claims stay possible.
#[utoipa::path(post, path = "/v1/tasks/{task}/retire", tag = "tasks", operation_id = "retireTask",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The task is retired", body = catalogue_shapes::StatusChanged),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn retire(state: State<Shared>, task: KnownTask, by: Signed) -> Answer {
    set(state, task, by, Status::Retired).await
}

async fn set(
    State(state): State<Shared>,
    KnownTask(task): KnownTask,
    Signed(author): Signed,
    status: Status,
) -> Answer {
    let (pool, id) = (state.operators.clone(), task.clone());
    let changed =
        detached(async move { catalogue_store::set_status(&pool, &id, status, author).await });
    changed.await?.map_err(|error| refused(error, &[]))?;
    let mut needed_by = Vec::new();
    if status != Status::Active {
        let catalogue = state.executor.catalogue().newest(&state.operators).await?;
        needed_by.extend(catalogue.needed_by(&task).cloned());
    }
    Ok(no_store(&Changed { task, status, needed_by }))
}
