//! Read models and their rebuilds, for operators.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use plaudit_event_store::catalogue_store::Author;
use plaudit_projections::ProjectionError;
use plaudit_projections::rebuild::{self, ProjectionStatus, RebuildOptions, RebuildStatus, Start};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::etag::no_store;
use crate::input::{NamePath, Query, cut_page};
use crate::problem::{Answer, Problem, ProblemBody, causes};
use crate::reason::Signed;
use crate::state::{ApiState, Shared, detached};
use crate::wire::{operator_shapes, parameters};

#[derive(Serialize)]
struct Projections {
    projections: Vec<ProjectionStatus>,
    next: Option<&'static str>,
}

/// `GET /v1/projections`: the read models, always in the same order.
#[utoipa::path(get, path = "/v1/projections", tag = "projections", operation_id = "listProjections",
    params(parameters::Page),
    responses(
        (status = 200, description = "All of them", body = operator_shapes::Projections),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.text("after"), query.limit());
    let all = rebuild::list(&state.operators).await?;
    let unknown = "unknown projection; use `next` of the previous page";
    let place = |after: String| {
        let place = all.iter().position(|status| status.name == after);
        place.map(|place| place + 1).ok_or(unknown)
    };
    let first = after.and_then(|after| query.checked("after", place(after))).unwrap_or(0);
    query.finish()?;
    let mut projections: Vec<_> = all.into_iter().skip(first).collect();
    let next = cut_page(&mut projections, limit, |last| last.name);
    Ok(no_store(&Projections { projections, next }))
}

/// `GET /v1/projections/{name}/rebuild`: the running rebuild, or the last one.
#[utoipa::path(get, path = "/v1/projections/{name}/rebuild", tag = "projections", operation_id = "showRebuild",
    params(parameters::Projection),
    responses(
        (status = 200, description = "The state of the rebuild", body = operator_shapes::Rebuild),
    ))]
pub async fn show(State(state): State<Shared>, NamePath(name): NamePath) -> Answer {
    let status = rebuild::status(&state.operators, &name).await?;
    let detail = format!("{name} was never rebuilt");
    let status = status.ok_or(Problem::NotFound { cause: &causes::NO_REBUILD, detail })?;
    Ok(no_store(&status))
}

/// `POST /v1/projections/{name}/rebuild`: starts a rebuild, or resumes an interrupted one. It runs
/// in this process; if the process ends, another one takes over.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild", tag = "projections", operation_id = "startRebuild",
    params(parameters::Projection,
        ("restart" = Option<bool>, Query, description = "Start over even if one is running")),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 202, description = "It has begun", body = operator_shapes::Rebuild),
        (status = 409, description = "Another process is rebuilding it", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn start(
    State(state): State<Shared>,
    NamePath(name): NamePath,
    mut query: Query,
    by: Result<Signed, Problem>,
) -> Answer {
    let start = match query.parsed("restart") {
        Some(true) => Start::Restart,
        Some(false) | None => Start::ResumeOrStart,
    };
    if let Err(wrong) = query.finish() {
        // An unknown projection is reported first.
        rebuild::status(&state.operators, &name).await?;
        return Err(wrong);
    }
    let author = author_of(&state, &name, by).await?;
    // The request is answered once the rebuild has begun.
    let (begun_sender, mut begun) = mpsc::channel(1);
    let (ended_sender, ended) = oneshot::channel();
    run(
        &state,
        name.clone(),
        start,
        Some(author),
        move |status| drop(begun_sender.try_send(status.clone())),
        ended_sender,
    );
    let status = match begun.recv().await {
        Some(status) => status,
        // The rebuild ended before its first report.
        None => match ended.await {
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(())) | Err(_) => match rebuild::status(&state.operators, &name).await? {
                Some(status) => status,
                None => return Err(Problem::Internal),
            },
        },
    };
    Ok(accepted(&status))
}

/// Returns the author of a change. An unknown projection is reported before errors in the body.
async fn author_of(state: &ApiState, name: &str, by: Result<Signed, Problem>) -> Answer<Author> {
    match by {
        Ok(Signed(author)) => Ok(author),
        Err(wrong) => {
            rebuild::status(&state.operators, name).await?;
            Err(wrong)
        }
    }
}

fn accepted(status: &RebuildStatus) -> Response {
    (StatusCode::ACCEPTED, no_store(status)).into_response()
}

/// Spawns a rebuild, so that it outlasts its request. It is recorded if it has an author.
fn run(
    state: &ApiState,
    name: String,
    start: Start,
    author: Option<Author>,
    progress: impl Fn(&RebuildStatus) + Send + Sync + 'static,
    ended: oneshot::Sender<Result<(), ProjectionError>>,
) {
    let (pool, stop) = (state.operators.clone(), state.rebuilds.stop.clone());
    let options = RebuildOptions { start, ..RebuildOptions::default() };
    state.rebuilds.running.spawn(async move {
        let outcome =
            rebuild::rebuild_by(&pool, &name, options, author.as_ref(), progress, stop).await;
        match &outcome {
            Ok(outcome) => tracing::info!(projection = name, ?outcome, "a rebuild ended"),
            Err(
                error @ (ProjectionError::AlreadyRunning { .. }
                | ProjectionError::NotRunning { .. }),
            ) => tracing::info!(projection = name, %error, "a rebuild was not needed"),
            Err(error) => tracing::warn!(projection = name, %error, "a rebuild ended"),
        }
        // The requester may be gone.
        let _ = ended.send(outcome.map(|_| ()));
    });
}

/// `POST /v1/projections/{name}/rebuild/pause`: pauses the running rebuild.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild/pause", tag = "projections", operation_id = "pauseRebuild",
    params(parameters::Projection),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The state of the rebuild", body = operator_shapes::Rebuild),
        (status = 409, description = "No rebuild is running", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn pause(
    State(state): State<Shared>,
    NamePath(name): NamePath,
    by: Result<Signed, Problem>,
) -> Answer {
    let author = author_of(&state, &name, by).await?;
    let (pool, projection) = (state.operators.clone(), name.clone());
    detached(async move { rebuild::pause(&pool, &projection, &author).await }).await??;
    show(State(state), NamePath(name)).await
}

/// `POST /v1/projections/{name}/rebuild/resume`: continues a paused rebuild. If the process that
/// ran it is gone, this one takes over.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild/resume", tag = "projections", operation_id = "resumeRebuild",
    params(parameters::Projection),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The state of the rebuild", body = operator_shapes::Rebuild),
        (status = 409, description = "No rebuild is running", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn resume(
    State(state): State<Shared>,
    NamePath(name): NamePath,
    by: Result<Signed, Problem>,
) -> Answer {
    let author = author_of(&state, &name, by).await?;
    let (shared, projection) = (Shared::clone(&state), name.clone());
    let resumed = detached(async move {
        rebuild::resume(&shared.operators, &projection, &author).await?;
        // Refused, rightly, if another process still runs the rebuild, or has ended it meanwhile.
        run(&shared, projection, Start::ResumeOnly, None, |_| {}, oneshot::channel().0);
        Ok::<_, ProjectionError>(())
    });
    resumed.await??;
    show(State(state), NamePath(name)).await
}

/// `POST /v1/projections/{name}/rebuild/cancel`: ends the running rebuild.
#[utoipa::path(post, path = "/v1/projections/{name}/rebuild/cancel", tag = "projections", operation_id = "cancelRebuild",
    params(parameters::Projection),
    request_body(description = "An optional reason", content((operator_shapes::Reason = "application/json"))),
    responses(
        (status = 200, description = "The state of the rebuild", body = operator_shapes::Rebuild),
        (status = 409, description = "No rebuild is running", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn cancel(
    State(state): State<Shared>,
    NamePath(name): NamePath,
    by: Result<Signed, Problem>,
) -> Answer {
    let author = author_of(&state, &name, by).await?;
    let (pool, projection) = (state.operators.clone(), name.clone());
    detached(async move { rebuild::cancel(&pool, &projection, &author).await }).await??;
    show(State(state), NamePath(name)).await
}

impl From<ProjectionError> for Problem {
    fn from(error: ProjectionError) -> Self {
        let detail = error.to_string();
        match error {
            ProjectionError::Unknown { .. } => {
                Self::NotFound { cause: &causes::UNKNOWN_PROJECTION, detail }
            }
            ProjectionError::AlreadyRunning { .. } => {
                Self::Conflict { cause: &causes::REBUILD_RUNNING, detail }
            }
            ProjectionError::NotRunning { .. } => {
                Self::Conflict { cause: &causes::NO_REBUILD_RUNNING, detail }
            }
            ProjectionError::NoRoom { .. } | ProjectionError::LanesHeld { .. } => {
                Self::Conflict { cause: &causes::NO_ROOM_TO_SWAP, detail }
            }
            ProjectionError::Silent { .. } => Self::Unavailable("the database does not answer"),
            ProjectionError::Store(error) => error.into(),
        }
    }
}
