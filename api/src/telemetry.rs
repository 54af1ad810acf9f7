//! Gives every request an id, a span, a count and a duration, and turns a panic of its handler into
//! an answer.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::{Problem, normalised};

/// The header with the request's id, by which a client can report the request to an operator.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request and of the work that it causes.
#[derive(Debug, Clone, Copy)]
pub struct RequestId(pub Uuid);

/// Measures a request. Paths carry user ids, so only the route's template is logged and counted.
pub async fn request(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = Uuid::now_v7();
    request.extensions_mut().insert(RequestId(id));
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = known(request.method().as_str());
    let span = tracing::info_span!("http", method, route, request_id = %id);
    let answered =
        AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let response = answered.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("a handler panicked"));
        Problem::Internal.into_response()
    });
    let mut response = normalised(response);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    let labels = [("method", method.to_owned()), ("route", route), ("status", status.to_string())];
    metrics::counter!("plaudit_http_requests_total", &labels).increment(1);
    metrics::histogram!("plaudit_http_request_seconds", &labels).record(took);
    span.in_scope(|| tracing::debug!(status, duration_ms = rounded_ms(took), "answered"));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Returns milliseconds, rounded to a tenth.
fn rounded_ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e4).round() / 10.0
}

/// Returns the method's name for metrics. Clients may invent methods, and metrics must not grow
/// with them.
fn known(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        .into_iter()
        .find(|m| *m == method)
        .unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt;

    use super::*;

    async fn broken() -> &'static str {
        panic!("a secret of the inside")
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_without_its_text_and_is_counted_by_route() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = recorder.handle();
        let _guard = metrics::set_default_local_recorder(&recorder);
        let router = Router::new().route("/users/{user}", get(broken)).layer(from_fn(request));
        let sent = Request::get("/users/u42").body(Body::empty()).unwrap();
        let response = router.oneshot(sent).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(body.contains("/problems/internal") && !body.contains("secret"), "{body}");
        let labels = r#"{method="GET",route="/users/{user}",status="500"} 1"#;
        assert!(counted.render().contains(labels), "{}", counted.render());
    }
}
