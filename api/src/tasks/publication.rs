//! Publication of task files, and plans of publications.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{self, Author, CatalogueConflict, PublishError};
use plaudit_release::Operator;
use plaudit_task_file::{Diagnostic, FILE_BYTES_MAX, LocatedTask, parse_located};
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::warnings::{ASKING_MAX, PlannedWarning, warnings_of};
use crate::auth::Caller;
use crate::deadline;
use crate::etag::no_store;
use crate::in_flight::Held;
use crate::input::{Query, media_type, read_body, refuse_encoded, unknown_task};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::state::{ApiState, Shared, detached};
use crate::wire::catalogue_shapes;

/// Accepted media types of YAML task files.
const YAML: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

#[derive(Serialize)]
struct PublishedAll {
    published: Vec<PublishedTask>,
}

/// The effect of a publication on one task.
#[derive(Debug, Serialize, Deserialize)]
pub struct PublishedTask {
    /// The task.
    pub task: TaskId,
    /// The version in force.
    pub version: u32,
    /// True if the version is new; false if the definition was already in force.
    pub changed: bool,
    /// Valid but questionable parts of the definition, compared with the version that was in force
    /// before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<PlannedWarning>,
}

impl PublishedTask {
    /// Joins the outcome of each task with its warnings; both are in the order of the file.
    pub fn of_all(
        published: impl IntoIterator<Item = catalogue_store::Published>,
        warnings: Vec<Vec<PlannedWarning>>,
    ) -> Vec<Self> {
        let with_warnings = published.into_iter().zip(warnings).map(|(published, warnings)| {
            let catalogue_store::Published { task, version, changed } = published;
            Self { task, version, changed, warnings }
        });
        with_warnings.collect()
    }
}

/// `POST /v1/tasks/publish`: publishes a task file, all of it or nothing.
#[utoipa::path(post, path = "/v1/tasks/publish", tag = "tasks", operation_id = "publish",
    params(("reason" = Option<String>, Query, description = "The reason; it is recorded with the caller's `sub`")),
    request_body(description = "A task file", content((String = "application/yaml"), (Object = "application/json"))),
    responses(
        (status = 200, description = "The published tasks", body = catalogue_shapes::Published),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Neither YAML nor JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn publish(
    State(state): State<Shared>,
    Extension(caller): Extension<Caller>,
    mut query: Query,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let reason = query
        .text("reason")
        .and_then(|text| query.checked("reason", Operator::checked_reason(&text)));
    query.finish()?;
    let (tasks, held) = read_file(&state, &headers, body).await?;
    let author = Author { by: caller.subject, reason };
    let published = detached(async move {
        let in_force = state.executor.catalogue().newest(&state.operators).await?;
        let located: Vec<_> = tasks.iter().collect();
        let warnings = warnings_of(&located, &in_force, &state.operators).await;
        let definitions = definitions_of(&tasks);
        let published = catalogue_store::publish(&state.operators, &definitions, author).await;
        drop(held);
        let published = published.map_err(|error| refused(error, &definitions))?;
        Ok::<_, Problem>(PublishedTask::of_all(published, warnings))
    });
    Ok(no_store(&PublishedAll { published: published.await?? }))
}

/// Reads a task file from the body.
async fn read_file(
    state: &ApiState,
    headers: &HeaderMap,
    body: Body,
) -> Answer<(Vec<LocatedTask>, Held)> {
    refuse_encoded(headers)?;
    let readable = |kind: &str| kind == "application/json" || YAML.contains(&kind);
    if !media_type(headers).is_some_and(|kind| readable(&kind)) {
        return Err(Problem::UnsupportedMediaType(
            "a task file as application/yaml or application/json",
        ));
    }
    let (body, held) = read_body(body, FILE_BYTES_MAX, &state.in_flight).await?;
    let read = || {
        let text = std::str::from_utf8(&body)
            .map_err(|e| InputError::body("", format!("not UTF-8: {e}")))?;
        let file = parse_located(text);
        let refused = |errors: Vec<_>| Problem::BadInput(errors.iter().map(input_error).collect());
        Ok::<_, Problem>(file.map_err(refused)?.tasks)
    };
    Ok((state.computing.run(read).await?, held))
}

fn definitions_of(tasks: &[LocatedTask]) -> Vec<TaskDefinition> {
    tasks.iter().map(|task| task.definition.clone()).collect()
}

/// Time limit for counting the users of all tasks of a plan. It begins after the warnings, and
/// leaves the request time to answer.
const COUNTING_MAX: Duration = Duration::from_secs(2);
const _: () =
    assert!(ASKING_MAX.as_millis() + COUNTING_MAX.as_millis() < deadline::WORK_MAX.as_millis());

/// `POST /v1/tasks/plan`: the changes that publishing a task file would make, and the users they
/// reach. Writes nothing.
#[utoipa::path(post, path = "/v1/tasks/plan", tag = "tasks", operation_id = "plan",
    request_body(description = "A task file", content((String = "application/yaml"), (Object = "application/json"))),
    responses(
        (status = 200, description = "The changes that the publication would make", body = catalogue_shapes::Plan),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Neither YAML nor JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn plan(State(state): State<Shared>, headers: HeaderMap, body: Body) -> Answer {
    let (tasks, _held) = read_file(&state, &headers, body).await?;
    let catalogue = state.executor.catalogue();
    let located: Vec<_> = tasks.iter().collect();
    let plan = Plan::of(&located, catalogue, &state.operators, &state.past, COUNTING_MAX).await;
    Ok(no_store(&plan.map_err(|error| refused(error, &definitions_of(&tasks)))?))
}

pub(super) fn refused(error: PublishError, definitions: &[TaskDefinition]) -> Problem {
    match error {
        PublishError::Conflicts(conflicts) => Problem::BadInput(
            conflicts.iter().map(|conflict| conflict_error(conflict, definitions)).collect(),
        ),
        PublishError::UnknownTask(task) => unknown_task(task),
        PublishError::Retired(_) => {
            Problem::Conflict { cause: &causes::TASK_RETIRED, detail: error.to_string() }
        }
        // Only a rollback to an earlier version causes this, and no request makes one.
        PublishError::UnknownVersion { .. } => {
            tracing::error!(%error, "a publication failed as only a rollback can");
            Problem::Internal
        }
        PublishError::Store(error) => error.into(),
    }
}

pub(super) fn conflict_error(
    conflict: &CatalogueConflict,
    definitions: &[TaskDefinition],
) -> InputError {
    let index = definitions.iter().position(|definition| definition.id == conflict.task);
    let path = index.map(|index| match conflict.field.as_str() {
        "" => format!("tasks[{index}]"),
        field => format!("tasks[{index}].{field}"),
    });
    InputError::body(pointer(path.as_deref().unwrap_or("file")), conflict.to_string())
}

pub(super) fn input_error(found: &Diagnostic) -> InputError {
    let mut error = InputError::body(pointer(&found.path), &found.message);
    (error.line, error.column) = (Some(found.line), Some(found.column));
    error
}

/// Converts a path such as `tasks[2].objective.on` to a JSON Pointer.
fn pointer(path: &str) -> String {
    if path == "file" {
        return String::new();
    }
    let mut pointer = String::from("/");
    for c in path.chars() {
        match c {
            '.' | '[' => pointer.push('/'),
            ']' => {}
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_file_becomes_a_pointer() {
        assert_eq!(pointer("tasks[2].objective.on"), "/tasks/2/objective/on");
        assert_eq!(pointer("tasks[0].milestones[1].rewards[0]"), "/tasks/0/milestones/1/rewards/0");
        assert_eq!(pointer("file"), "");
    }
}
