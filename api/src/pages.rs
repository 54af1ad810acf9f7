//! HTML pages without a token: the state of this process, and the meaning of each problem.

use axum::extract::{Path, State};
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};

use crate::health::Health;
use crate::problem::{Answer, Problem, ProblemBody, causes};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1em;color:#222}\
    code{background:#f2f2f2;padding:0 .25em}dt{font-weight:bold}dd{margin:0 0 .8em}\
    .ready{color:#176b2c}.not-ready{color:#a01818}";

/// `GET /`: the name, version and state of this process, with links.
#[utoipa::path(get, path = "/", tag = "health", operation_id = "showHome",
    responses((status = 200, description = "A page for people", body = String, content_type = "text/html")))]
pub async fn home(State(health): State<Health>) -> Response {
    let report = health.readiness.check().await;
    let list = |sentences: &[String]| {
        let items: Vec<String> = sentences.iter().map(|sentence| escaped(sentence)).collect();
        format!("<ul><li>{}</li></ul>", items.join("</li><li>"))
    };
    let mut status = if report.reasons.is_empty() {
        "<p class=ready>This process is ready.</p>".to_owned()
    } else {
        format!("<p class=not-ready>This process is not ready:</p>{}", list(&report.reasons))
    };
    if !report.warnings.is_empty() {
        status.push_str("<p>Warnings, which concern single users, lanes or channels:</p>");
        status.push_str(&list(&report.warnings));
    }
    let api = if health.serves_api {
        "<dt><a href=/openapi.json>/openapi.json</a><dd>the description of the API; clients can be generated from it\
         <dt><code>/v1/…</code><dd>the API, with a bearer token: <code>curl -H \"Authorization: Bearer $TOKEN\" …/v1/users/ann/tasks</code>"
    } else {
        "<dt><code>/v1/…</code><dd>not served by this process, which runs without the role <code>api</code>"
    };
    page(
        "Plaudit",
        &format!(
            "<p>Tasks and rewards: turns what users do into progress, and progress into rewards. Version {}.</p>{status}\
             <dl>{api}\
             <dt><a href=/readyz>/readyz</a>, <a href=/livez>/livez</a><dd>health, for load balancers and supervisors\
             <dt><a href=/metrics>/metrics</a><dd>metrics, for Prometheus\
             <dt><a href=/problems>/problems</a><dd>the meaning of each refusal\
             </dl>",
            env!("CARGO_PKG_VERSION")
        ),
    )
}

/// `GET /problems`: all problems.
#[utoipa::path(get, path = "/problems", tag = "health", operation_id = "listProblems",
    responses((status = 200, description = "A page for people", body = String, content_type = "text/html")))]
pub async fn problems() -> Response {
    let entry = |cause: &&causes::Cause| {
        format!(
            "<dt><a href=/problems/{0}>{0}</a> ({1})<dd>{2}",
            cause.name,
            cause.status.as_u16(),
            escaped(cause.meaning)
        )
    };
    let entries: String = causes::ALL.iter().map(entry).collect();
    page("Problems", &format!("<p>Why requests are refused.</p><dl>{entries}</dl>"))
}

/// `GET /problems/{name}`: the meaning of a problem's `type`, and the remedy.
#[utoipa::path(get, path = "/problems/{name}", tag = "health", operation_id = "showProblem",
    params(("name" = String, Path, description = "The last part of a problem's `type`", example = "bad-input")),
    responses(
        (status = 200, description = "A page for people", body = String, content_type = "text/html"),
        (status = 404, description = "No such problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn problem(Path(name): Path<String>) -> Answer {
    let cause = causes::named(&name).ok_or(Problem::NoSuchPath)?;
    let body = format!(
        "<p><code>/problems/{}</code>, status {}</p><p>{}</p><p><b>What to do:</b> {}</p>\
         <p><a href=/problems>All problems</a></p>",
        cause.name,
        cause.status,
        escaped(cause.meaning),
        escaped(cause.remedy)
    );
    Ok(page(cause.title, &body))
}

fn page(title: &str, body: &str) -> Response {
    const HEADERS: [(HeaderName, &str); 4] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let title = escaped(title);
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>\n"
    );
    (HEADERS, html).into_response()
}

/// Escapes text for HTML. Code in backticks becomes `<code>`.
fn escaped(text: &str) -> String {
    let plain =
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let parts = plain.split('`').enumerate();
    let part = |(n, part): (usize, &str)| match n % 2 {
        1 => format!("<code>{part}</code>"),
        _ => part.to_owned(),
    };
    parts.map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escaped("a <b> & `c`"), "a &lt;b&gt; &amp; <code>c</code>");
    }
}
