//! The catalogue: published tasks, their versions and the authors of changes.

pub mod plan;
pub mod publication;
pub mod simulation;
pub mod status;
pub mod warnings;
pub mod why;

use axum::extract::State;
use jiff::Timestamp;
use plaudit_domain::catalogue::definition::{Kind, TaskDefinition};
use plaudit_domain::catalogue::{CatalogueTask, Status};
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{self, TaskChange};
use serde::Serialize;

use crate::etag::no_store;
use crate::input::{Query, TaskPath, cut_page, unknown_task};
use crate::problem::Answer;
use crate::state::Shared;
use crate::wire::{catalogue_shapes, parameters};

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
        (status = 200, description = "The catalogue", body = catalogue_shapes::Tasks),
    ))]
pub async fn list(State(state): State<Shared>, mut query: Query) -> Answer {
    let (after, limit) = (query.parsed::<TaskId>("after"), query.limit());
    query.finish()?;
    let catalogue = state.executor.catalogue().newest(&state.operators).await?;
    let mut tasks: Vec<_> =
        catalogue.tasks().iter().filter(|t| after.as_ref().is_none_or(|a| t.id > *a)).collect();
    tasks.sort_by_key(|task| &task.id);
    let next = cut_page(&mut tasks, limit, |last| &last.id);
    Ok(no_store(&Tasks { tasks: tasks.into_iter().map(TaskEntry::of).collect(), next }))
}

#[derive(Serialize)]
struct CatalogueInForce<'a> {
    revision: i64,
    tasks: Vec<TaskInForce<'a>>,
}

#[derive(Serialize)]
struct TaskInForce<'a> {
    id: &'a TaskId,
    status: Status,
    definition: &'a TaskDefinition,
}

/// `GET /v1/catalogue`: the version in force of every task, all of one revision.
#[utoipa::path(get, path = "/v1/catalogue", tag = "tasks", operation_id = "showCatalogue",
    responses(
        (status = 200, description = "All tasks", body = catalogue_shapes::CatalogueInForce),
    ))]
pub async fn catalogue(State(state): State<Shared>, query: Query) -> Answer {
    query.finish()?;
    let catalogue = state.executor.catalogue().newest(&state.operators).await?;
    let in_force = catalogue.tasks().iter().map(|task| TaskInForce {
        id: &task.id,
        status: task.status,
        definition: &task.current().definition,
    });
    let mut tasks: Vec<_> = in_force.collect();
    tasks.sort_by_key(|task| task.id);
    let revision = catalogue.revision;
    Ok(state.computing.run(|| no_store(&CatalogueInForce { revision, tasks })).await)
}

#[derive(Serialize)]
struct OneTask<'a> {
    #[serde(flatten)]
    entry: TaskEntry<'a>,
    definition: &'a TaskDefinition,
    /// The tasks that require it or count its completions, except retired ones.
    needed_by: Vec<&'a TaskId>,
}

/// `GET /v1/tasks/{task}`: the version in force.
#[utoipa::path(get, path = "/v1/tasks/{task}", tag = "tasks", operation_id = "showTask",
    params(parameters::Task),
    responses(
        (status = 200, description = "The task", body = catalogue_shapes::OneTask),
    ))]
pub async fn show(State(state): State<Shared>, TaskPath(id): TaskPath) -> Answer {
    let catalogue = state.executor.catalogue().newest(&state.operators).await?;
    let task = catalogue.task(&id).ok_or_else(|| unknown_task(&id))?;
    let (entry, definition) = (TaskEntry::of(task), &task.current().definition);
    let needed_by = catalogue.needed_by(&id).collect();
    Ok(no_store(&OneTask { entry, definition, needed_by }))
}

#[derive(Serialize)]
struct History<'a> {
    task: &'a TaskId,
    status: Status,
    versions: Vec<VersionEntry<'a>>,
    next: Option<u32>,
    changes: Vec<TaskChange>,
}

#[derive(Serialize)]
struct VersionEntry<'a> {
    version: u32,
    published_at: Timestamp,
    definition: &'a TaskDefinition,
}

/// `GET /v1/tasks/{task}/versions`, oldest first, with the authors and reasons of all changes.
#[utoipa::path(get, path = "/v1/tasks/{task}/versions", tag = "tasks", operation_id = "listVersions",
    params(parameters::Task, parameters::Page),
    responses(
        (status = 200, description = "Its versions", body = catalogue_shapes::Versions),
    ))]
pub async fn versions(
    State(state): State<Shared>,
    TaskPath(id): TaskPath,
    mut query: Query,
) -> Answer {
    let (after, limit) = (query.parsed::<u32>("after").unwrap_or(0), query.limit());
    let catalogue = state.executor.catalogue().newest(&state.operators).await?;
    let task = catalogue.task(&id).ok_or_else(|| unknown_task(&id))?;
    query.finish()?;
    let mut later: Vec<_> = task.versions.iter().filter(|v| v.version > after).collect();
    let next = cut_page(&mut later, limit, |last| last.version);
    let versions = later.into_iter().map(|v| {
        let (version, published_at) = (v.version, v.published_at);
        VersionEntry { version, published_at, definition: &v.definition }
    });
    let changes = catalogue_store::changes_of(&state.operators, &id).await?;
    let (status, versions) = (task.status, versions.collect());
    Ok(no_store(&History { task: &id, status, versions, next, changes }))
}
