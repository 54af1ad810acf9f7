//! What a supervisor and a metrics collector ask. No token is needed.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::openapi::shapes;
use crate::problem::{Answer, Problem, ProblemBody};
use crate::state::ApiState;

/// `GET /livez`: the process answers. Nothing else is asked, so that a lost database never makes a
/// supervisor restart it.
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "livez",
    responses(
        (status = 200, description = "The process answers", body = shapes::Health),
    ))]
pub async fn livez() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "alive" }))).into_response()
}

/// `GET /readyz`: all parts of the process are at work.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz",
    responses(
        (status = 200, description = "All parts are at work", body = shapes::Health),
        (status = 503, description = "Not all parts are; `reasons` names them", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn readyz(State(state): State<ApiState>) -> Answer {
    state.readiness.check().await.map_err(Problem::NotReady)?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "ready" }))).into_response())
}

/// `GET /metrics`, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses(
        (status = 200, description = "The text format of Prometheus", body = String, content_type = "text/plain"),
    ))]
pub async fn metrics(State(state): State<ApiState>) -> Response {
    let headers =
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, state.prometheus.render()).into_response()
}
