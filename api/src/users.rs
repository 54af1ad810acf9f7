//! The task screen of a user.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::screen::{ScreenRequest, TaskScreen, TaskScreenState};
use plaudit_projections::task_view::UserView;
use serde::Serialize;

use crate::etag::{self, AsOf};
use crate::input::{Query, TaskPath, UserPath, locale, unknown_task, unless_unknown};
use crate::position::AtLeast;
use crate::problem::{Answer, Problem};
use crate::state::{ApiState, Shared};
use crate::wire::{parameters, shapes};

#[derive(Serialize)]
struct Screen<'a> {
    user: &'a UserId,
    tasks: Vec<TaskScreen>,
}

#[derive(Serialize)]
struct OneTask<'a> {
    user: &'a UserId,
    #[serde(flatten)]
    task: TaskScreen,
}

/// `GET /v1/users/{user}/tasks`: the whole task screen, as of now.
#[utoipa::path(get, path = "/v1/users/{user}/tasks", tag = "users", operation_id = "listUserTasks",
    params(parameters::User, parameters::AtLeast, parameters::Waiting, parameters::Known, parameters::Locale,
        ("category" = Option<String>, Query, description = "Only tasks of this category"),
        ("state" = inline(Option<shapes::TaskState>), Query, description = "Only tasks in this state")),
    responses(
        (status = 200, description = "The task screen", body = shapes::TaskScreens),
        (status = 304, description = "The content has not changed"),
    ))]
pub async fn tasks(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let (locale, category) = (locale(&mut query, &headers), query.text("category"));
    let in_state: Option<TaskScreenState> = query.parsed("state");
    query.finish()?;
    let (view, catalogue) = view_at(&at_least, &state, lane, &user).await?;
    let request = ScreenRequest {
        locale: locale.as_deref(),
        category: category.as_deref(),
        state: in_state,
        task: None,
    };
    let now = state.now();
    let tasks = state.screen(&user, &view.state, &catalogue, now, &request).await;
    let as_of = AsOf { position: view.position, now: Some(now) };
    Ok(etag::answer(&headers, as_of, &Screen { user: &user, tasks }))
}

/// `GET /v1/users/{user}/tasks/{task}`: one task of the task screen.
#[utoipa::path(get, path = "/v1/users/{user}/tasks/{task}", tag = "users", operation_id = "showUserTask",
    params(parameters::User, parameters::Task, parameters::AtLeast, parameters::Waiting, parameters::Known, parameters::Locale),
    responses(
        (status = 200, description = "The task", body = shapes::OneTaskScreen),
        (status = 304, description = "The content has not changed"),
    ))]
pub async fn task(
    State(state): State<Shared>,
    UserPath(user): UserPath,
    TaskPath(task): TaskPath,
    mut query: Query,
    headers: HeaderMap,
) -> Answer {
    let lane = state.lane_of(&user);
    let at_least = AtLeast::read(&mut query, &headers, lane);
    let locale = locale(&mut query, &headers);
    if let Err(wrong) = query.finish() {
        return Err(unless_unknown(&state, &task, wrong).await);
    }
    let (view, catalogue) = view_at(&at_least, &state, lane, &user).await?;
    let request =
        ScreenRequest { locale: locale.as_deref(), task: Some(&task), ..ScreenRequest::default() };
    let now = state.now();
    let shown = state.screen(&user, &view.state, &catalogue, now, &request).await;
    let task = shown.into_iter().next().ok_or_else(|| unknown_task(&task))?;
    let as_of = AsOf { position: view.position, now: Some(now) };
    Ok(etag::answer(&headers, as_of, &OneTask { user: &user, task }))
}

/// Like [`view`], at the position asked for or later. Reads first, because the position is nearly
/// always reached already, and waits only if it is not.
async fn view_at(
    at_least: &AtLeast,
    state: &ApiState,
    lane: Lane,
    user: &UserId,
) -> Answer<(UserView, Arc<Catalogue>)> {
    let seen = view(state, lane, user).await?;
    if at_least.is_met_at(seen.0.position) {
        return Ok(seen);
    }
    at_least.reached(state).await?;
    view(state, lane, user).await
}

/// Returns the projected state of a user, with the catalogue of that moment or a later one.
pub async fn view(
    state: &ApiState,
    lane: Lane,
    user: &UserId,
) -> Answer<(UserView, Arc<Catalogue>)> {
    let loaded = state.screens.load(lane, user).await;
    let view = loaded.map_err(|error| Problem::from(error.as_ref()))?;
    let store = state.executor.catalogue();
    if let Some(known) = store.known_as(view.catalogue_identity) {
        return Ok((view, known));
    }
    let mut connection = state.pool.acquire().await?;
    let catalogue = store.of_identity(view.catalogue_identity, &mut connection).await?;
    Ok((view, catalogue))
}
