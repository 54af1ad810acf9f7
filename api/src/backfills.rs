//! Progress and control of backfills.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::backfills::changes::{self, BackfillChange, BackfillChangeError};
use plaudit_event_store::backfills::{self, BackfillStatus};
use serde::Serialize;

use crate::etag::no_store;
use crate::input::{Query, TaskPath};
use crate::problem::{Answer, Problem, ProblemBody, causes};
use crate::reason::Signed;
use crate::state::{ApiState, Shared, detached};
use crate::wire::{operator_shapes, parameters};

#[derive(Serialize)]
struct Backfills {
    backfills: Vec<BackfillStatus>,
}

/// `GET /v1/backfills`: the newest first, without their partitions.
#[utoipa::path(get, path = "/v1/backfills", tag = "backfills", operation_id = "listBackfills",
    params(("limit" = Option<u32>, Query, description = "The largest number of entries, 1 to 1,000; 100 if absent")),
    responses((status = 200, description = "All backfills", body = operator_shapes::Backfills)))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let limit = query.limit();
    query.finish()?;
    let backfills = backfills::list(&state.operators, i64::from(limit)).await?;
    Ok(no_store(&Backfills { backfills }))
}

/// `GET /v1/tasks/{task}/backfill`: the progress of a task's backfill.
#[utoipa::path(get, path = "/v1/tasks/{task}/backfill", tag = "backfills", operation_id = "showBackfill",
    params(parameters::Task),
    responses((status = 200, description = "The backfill", body = operator_shapes::Backfill)))]
pub async fn show(State(state): State<Shared>, TaskPath(task): TaskPath) -> Answer {
    found(&state, &task).await
}

/// `POST /v1/tasks/{task}/backfill/pause`: stops the backfill until it is resumed.
#[utoipa::path(post, path = "/v1/tasks/{task}/backfill/pause", tag = "backfills", operation_id = "pauseBackfill",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The backfill", body = operator_shapes::Backfill),
        (status = 409, description = "It is over", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn pause(state: State<Shared>, task: KnownBackfill, by: Signed) -> Answer {
    changed(state, task, by, BackfillChange::Pause).await
}

/// `POST /v1/tasks/{task}/backfill/resume`: continues a paused backfill.
#[utoipa::path(post, path = "/v1/tasks/{task}/backfill/resume", tag = "backfills", operation_id = "resumeBackfill",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The backfill", body = operator_shapes::Backfill),
        (status = 409, description = "It is over", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn resume(state: State<Shared>, task: KnownBackfill, by: Signed) -> Answer {
    changed(state, task, by, BackfillChange::Resume).await
}

/// `POST /v1/tasks/{task}/backfill/cancel`: ends the backfill. Actions that it has counted stay
/// counted.
#[utoipa::path(post, path = "/v1/tasks/{task}/backfill/cancel", tag = "backfills", operation_id = "cancelBackfill",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The backfill", body = operator_shapes::Backfill),
        (status = 409, description = "It is done", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn cancel(state: State<Shared>, task: KnownBackfill, by: Signed) -> Answer {
    changed(state, task, by, BackfillChange::Cancel).await
}

/// `POST /v1/tasks/{task}/backfill/release`: has the rewards that the backfill holds back granted
/// shortly.
#[utoipa::path(post, path = "/v1/tasks/{task}/backfill/release", tag = "backfills", operation_id = "releaseBackfill",
    params(parameters::Task),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The backfill; `released_at` says when all is granted", body = operator_shapes::Backfill),
        (status = 409, description = "It is not over, or holds nothing back", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn release(state: State<Shared>, task: KnownBackfill, by: Signed) -> Answer {
    changed(state, task, by, BackfillChange::Release).await
}

/// The id in a path of a task that has a backfill. A missing backfill is reported before errors in
/// the input.
#[derive(Debug)]
pub struct KnownBackfill(pub TaskId);

impl FromRequestParts<Shared> for KnownBackfill {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Answer<Self> {
        let TaskPath(task) = TaskPath::from_request_parts(parts, state).await?;
        find(state, &task).await?;
        Ok(Self(task))
    }
}

async fn changed(
    State(state): State<Shared>,
    KnownBackfill(task): KnownBackfill,
    Signed(author): Signed,
    change: BackfillChange,
) -> Answer {
    let (pool, id) = (state.operators.clone(), task.clone());
    detached(async move { changes::change(&pool, &id, change, &author).await }).await??;
    found(&state, &task).await
}

async fn found(state: &ApiState, task: &TaskId) -> Answer {
    Ok(no_store(&find(state, task).await?))
}

async fn find(state: &ApiState, task: &TaskId) -> Answer<BackfillStatus> {
    let found = backfills::find(&state.operators, task).await?;
    Ok(found.ok_or_else(|| BackfillChangeError::Unknown(task.clone()))?)
}

impl From<BackfillChangeError> for Problem {
    fn from(error: BackfillChangeError) -> Self {
        let detail = error.to_string();
        match error {
            BackfillChangeError::Unknown(_) => {
                Self::NotFound { cause: &causes::NO_BACKFILL, detail }
            }
            BackfillChangeError::Over { .. } => {
                Self::Conflict { cause: &causes::BACKFILL_OVER, detail }
            }
            BackfillChangeError::Unfinished { .. } => {
                Self::Conflict { cause: &causes::BACKFILL_UNFINISHED, detail }
            }
            BackfillChangeError::HoldsNothing(_) => {
                Self::Conflict { cause: &causes::NOTHING_HELD, detail }
            }
            BackfillChangeError::Database(error) => error.into(),
        }
    }
}
