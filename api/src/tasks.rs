//! The catalogue and its publication.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_domain::catalogue::definition::{Kind, TaskDefinition};
use plaudit_domain::catalogue::{CatalogueTask, Status, TaskVersion};
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{self, PublishError, Unfit};
use plaudit_task_file::{Diagnostic, FILE_BYTES_MAX, parse};
use serde::Serialize;

use crate::auth::Caller;
use crate::etag::no_store;
use crate::input::{Query, TaskPath, media_type, read_body, refuse_encoded, unknown_task};
use crate::openapi::{operator_shapes, parameters};
use crate::problem::{Answer, InputError, Problem, ProblemBody, causes};
use crate::state::{Shared, detached};

/// Media types of task files.
const YAML: [&str; 4] = ["application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"];

#[derive(Serialize)]
struct Tasks<'a> {
    tasks: Vec<TaskEntry<'a>>,
    next: Option<&'a TaskId>,
}

#[derive(Serialize)]
struct TaskEntry<'a> {
    id: &'a TaskId,
    status: Status,
    version: u32,
    kind: Kind,
    category: Option<&'a str>,
    order: i64,
    title: &'a str,
    published_at: Timestamp,
}

impl<'a> TaskEntry<'a> {
    fn of(task: &'a CatalogueTask) -> Self {
        let current = task.current();
        let definition = &current.definition;
        Self {
            id: &task.id,
            status: task.status,
            version: current.version,
            kind: definition.kind,
            category: definition.category.as_deref(),
            order: definition.order,
            title: &definition.text_in(None).title,
            published_at: current.published_at,
        }
    }
}

/// `GET /v1/tasks`, by id.
#[utoipa::path(get, path = "/v1/tasks", tag = "tasks", operation_id = "listTasks",
    params(parameters::Page),
    responses(
        (status = 200, description = "The catalogue", body = operator_shapes::Tasks),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<TaskId>("after"), query.limit());
    query.finish()?;
    let catalogue = state.executor.catalogue().newest(&state.pool).await?;
    let mut tasks: Vec<_> =
        catalogue.tasks().iter().filter(|t| after.as_ref().is_none_or(|a| t.id > *a)).collect();
    tasks.sort_by_key(|task| &task.id);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = tasks.get(limit).and_then(|_| tasks.get(limit - 1)).map(|last| &last.id);
    tasks.truncate(limit);
    Ok(no_store(&Tasks { tasks: tasks.into_iter().map(TaskEntry::of).collect(), next }))
}

#[derive(Serialize)]
struct OneTask<'a> {
    #[serde(flatten)]
    entry: TaskEntry<'a>,
    definition: &'a TaskDefinition,
}

/// `GET /v1/tasks/{task}`: the version in force.
#[utoipa::path(get, path = "/v1/tasks/{task}", tag = "tasks", operation_id = "showTask",
    params(parameters::Task),
    responses(
        (status = 200, description = "The task", body = operator_shapes::OneTask),
    ))]
pub async fn show(State(state): State<Shared>, TaskPath(id): TaskPath) -> Answer {
    let catalogue = state.executor.catalogue().newest(&state.pool).await?;
    let task = catalogue.task(&id).ok_or_else(|| unknown_task(&id))?;
    Ok(no_store(&OneTask { entry: TaskEntry::of(task), definition: &task.current().definition }))
}

#[derive(Serialize)]
struct History<'a> {
    task: &'a TaskId,
    status: Status,
    versions: Vec<VersionEntry<'a>>,
    next: Option<u32>,
}

#[derive(Serialize)]
struct VersionEntry<'a> {
    version: u32,
    published_at: Timestamp,
    definition: &'a TaskDefinition,
}

/// `GET /v1/tasks/{task}/versions`, oldest first.
#[utoipa::path(get, path = "/v1/tasks/{task}/versions", tag = "tasks", operation_id = "listVersions",
    params(parameters::Task, parameters::Page),
    responses(
        (status = 200, description = "Its versions", body = operator_shapes::Versions),
    ))]
pub async fn versions(
    State(state): State<Shared>,
    TaskPath(id): TaskPath,
    mut query: Query,
) -> Answer {
    let (after, limit) = (query.parsed::<u32>("after").unwrap_or(0), query.limit());
    let catalogue = state.executor.catalogue().newest(&state.pool).await?;
    let task = catalogue.task(&id).ok_or_else(|| unknown_task(&id))?;
    query.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let later: Vec<_> = task.versions.iter().filter(|v| v.version > after).collect();
    let next = later.get(limit).and_then(|_| later.get(limit - 1)).map(|last| last.version);
    let entry = |v: &'_ &'_ std::sync::Arc<TaskVersion>| (v.version, v.published_at);
    let versions = later.iter().take(limit).map(|v| {
        let (version, published_at) = entry(v);
        VersionEntry { version, published_at, definition: &v.definition }
    });
    Ok(no_store(&History { task: &id, status: task.status, versions: versions.collect(), next }))
}

#[derive(Serialize)]
struct PublishedAll {
    published: Vec<PublishedTask>,
}

#[derive(Serialize)]
struct PublishedTask {
    task: TaskId,
    version: u32,
    changed: bool,
}

/// `POST /v1/tasks/publish`: a task file, all of it or nothing.
#[utoipa::path(post, path = "/v1/tasks/publish", tag = "tasks", operation_id = "publish",
    request_body(description = "A task file", content((String = "application/yaml"), (Object = "application/json"))),
    responses(
        (status = 200, description = "The published tasks", body = operator_shapes::Published),
        (status = 413, description = "Too large", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Neither YAML nor JSON", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn publish(
    State(state): State<Shared>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    refuse_encoded(&headers)?;
    let readable = |kind: &str| kind == "application/json" || YAML.contains(&kind);
    if !media_type(&headers).is_some_and(|kind| readable(&kind)) {
        return Err(Problem::UnsupportedMediaType(
            "a task file as application/yaml or application/json",
        ));
    }
    let (body, held) = read_body(body, FILE_BYTES_MAX, &state.in_flight).await?;
    let text =
        std::str::from_utf8(&body).map_err(|e| InputError::body("", format!("not UTF-8: {e}")))?;
    let definitions = parse(text)
        .map_err(|errors| Problem::BadInput(errors.iter().map(input_error).collect()))?;
    let pool = state.pool.clone();
    let published = detached(async move {
        let published = catalogue_store::publish(&pool, &definitions, &caller.subject).await;
        drop(held);
        published.map_err(|error| refused(error, &definitions))
    });
    let published = published.await??;
    let task = |p: catalogue_store::Published| PublishedTask {
        task: p.task,
        version: p.version,
        changed: p.changed,
    };
    Ok(no_store(&PublishedAll { published: published.into_iter().map(task).collect() }))
}

fn refused(error: PublishError, definitions: &[TaskDefinition]) -> Problem {
    match error {
        PublishError::Unfit(reasons) => {
            Problem::BadInput(reasons.iter().map(|reason| unfit(reason, definitions)).collect())
        }
        PublishError::UnknownTask(task) => unknown_task(task),
        PublishError::Retired(_) => {
            Problem::Conflict { cause: &causes::TASK_RETIRED, detail: error.to_string() }
        }
        PublishError::Store(error) => error.into(),
    }
}

fn unfit(unfit: &Unfit, definitions: &[TaskDefinition]) -> InputError {
    let index = definitions.iter().position(|definition| definition.id == unfit.task);
    let path = index.map(|index| match unfit.field.as_str() {
        "" => format!("tasks[{index}]"),
        field => format!("tasks[{index}].{field}"),
    });
    InputError::body(pointer(path.as_deref().unwrap_or("file")), unfit.to_string())
}

fn input_error(found: &Diagnostic) -> InputError {
    let mut error = InputError::body(pointer(&found.path), &found.message);
    (error.line, error.column) = (Some(found.line), Some(found.column));
    error
}

/// `tasks[2].objective.on` as a JSON Pointer.
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
