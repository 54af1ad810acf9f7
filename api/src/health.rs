//! Health and metrics for supervisors, load balancers and metrics collectors. They need no token.

use axum::extract::{FromRef, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::exposition::Exposition;
use crate::pages;
use crate::problem::{self, Answer, Problem, ProblemBody};
use crate::readiness::Readiness;
use crate::state::Shared;
use crate::telemetry;
use crate::wire::shapes;

/// The state of the paths that need no token. A process without the role `api` serves only these
/// paths.
#[derive(Debug, Clone)]
pub struct Health {
    /// Answers `/readyz`.
    pub readiness: Readiness,
    /// Answers `/metrics`.
    pub exposition: Exposition,
    /// True if this process also serves the API.
    pub serves_api: bool,
}

impl FromRef<Shared> for Health {
    fn from_ref(state: &Shared) -> Self {
        Self {
            readiness: state.readiness.clone(),
            exposition: state.exposition.clone(),
            serves_api: true,
        }
    }
}

/// Routes for a process without the API: the paths that need no token.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/", get(pages::home))
        .route("/problems", get(pages::problems))
        .route("/problems/{name}", get(pages::problem))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn(telemetry::request))
        .with_state(health)
}

/// `GET /livez`: the process answers. Checks nothing else, so that a lost database never makes a
/// supervisor restart the process.
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "livez",
    responses(
        (status = 200, description = "The process answers", body = shapes::Health),
    ))]
pub async fn livez() -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(json!({ "status": "alive" }))).into_response()
}

/// `GET /readyz`: all parts of the process can do their work.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "readyz",
    responses(
        (status = 200, description = "All parts can do their work", body = shapes::Health),
        (status = 503, description = "A part can't do its work; `reasons` names it", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn readyz(State(health): State<Health>) -> Answer {
    let report = health.readiness.check().await;
    if !report.reasons.is_empty() {
        return Err(Problem::NotReady(report));
    }
    let body = json!({ "status": "ready", "warnings": report.warnings });
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// `GET /metrics`, in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses(
        (status = 200, description = "The text format of Prometheus", body = String, content_type = "text/plain"),
    ))]
pub async fn metrics(State(health): State<Health>) -> Response {
    let headers =
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    (headers, health.exposition.render()).into_response()
}
