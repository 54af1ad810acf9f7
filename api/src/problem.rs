//! Failures as clients see them (RFC 9457), with one stable `type` for each cause.

pub mod causes;

use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use plaudit_domain::screen::TaskScreenState;
use plaudit_event_store::{ExecuteError, NotApplied};
use serde::Serialize;
use utoipa::ToSchema;

use causes::Cause;

use crate::readiness::ReadinessReport;

/// The media type of every 4xx and 5xx answer.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The refusal of a request.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No token, or an invalid one.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The token is valid but does not permit the request.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The path is unknown.
    #[error("there is nothing at this path; /openapi.json describes what there is")]
    NoSuchPath,
    /// The path takes other methods, named in `Allow`.
    #[error("this path does not take this method; `Allow` names those it takes")]
    MethodNotAllowed,
    /// The path is known, but names something that does not exist.
    #[error("{detail}")]
    NotFound {
        /// The cause, such as [`causes::UNKNOWN_TASK`].
        cause: &'static Cause,
        /// For people.
        detail: String,
    },
    /// Bad input, with every error.
    #[error("the request has errors; `errors` names each with its place")]
    BadInput(Vec<InputError>),
    /// The bytes are not a valid HTTP request, or its head is too large; the status tells which.
    #[error("the request is not valid HTTP/1.1, or its head is too large")]
    NotHttp(StatusCode),
    /// The client did not send the body in time.
    #[error("the body did not arrive in time")]
    BodyTimeout,
    /// The body has an unsupported media type or encoding. Holds what to send instead.
    #[error("send {0}")]
    UnsupportedMediaType(&'static str),
    /// The body, or the number of actions in it, is above the limit.
    #[error("{0}")]
    TooLarge(String),
    /// Nothing of the task can be claimed now.
    #[error("{detail}")]
    NothingClaimable {
        /// For people.
        detail: String,
        /// The present state of the task.
        state: Option<TaskScreenState>,
    },
    /// The request conflicts with the present state.
    #[error("{detail}")]
    Conflict {
        /// The cause, such as [`causes::REBUILD_RUNNING`].
        cause: &'static Cause,
        /// For people.
        detail: String,
    },
    /// The requested position was not reached in time.
    #[error("the position {0} is not reached yet; send `Prefer: wait=N` to wait up to N seconds")]
    PositionNotReached(String),
    /// A dependency of Plaudit does not answer. The same request may succeed later.
    #[error("{0}")]
    Unavailable(&'static str),
    /// Some part of the process can't do its work.
    #[error("this process is not ready")]
    NotReady(ReadinessReport),
    /// A fault in Plaudit. The log has the details.
    #[error("an internal error; the server has logged the details")]
    Internal,
}

/// The result of a handler.
pub type Answer<T = Response> = Result<T, Problem>;

/// An error in the input, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputError {
    /// The error, and what is expected.
    pub detail: String,
    /// The place in the body: a JSON Pointer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The parameter of the path, query or headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The line in a task file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in a task file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl InputError {
    /// An error in the body, at a JSON Pointer.
    pub fn body(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let pointer = Some(pointer.into());
        Self { detail: detail.into(), pointer, parameter: None, line: None, column: None }
    }

    /// An error in the path, the query or a header.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let parameter = Some(name.to_owned());
        Self { detail: detail.into(), pointer: None, parameter, line: None, column: None }
    }
}

impl From<InputError> for Problem {
    fn from(error: InputError) -> Self {
        Self::BadInput(vec![error])
    }
}

/// The body of every 4xx and 5xx answer (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Names the cause: a URI reference under `/problems/`, the same for the same cause.
    #[serde(rename = "type")]
    pub kind: String,
    /// The cause in a few words, the same for the same `type`.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Details of this refusal.
    pub detail: String,
    /// For bad input: each error, with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<InputError>,
    /// For a claim that found nothing: the state of the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub state: Option<TaskScreenState>,
    /// For `/readyz`: the parts that can't do their work, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// For `/readyz`: problems of single users or lanes that affect nobody else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Problem {
    fn cause(&self) -> &'static Cause {
        match self {
            Self::Unauthenticated(_) => &causes::UNAUTHENTICATED,
            Self::Forbidden(_) => &causes::FORBIDDEN,
            Self::NoSuchPath => &causes::NO_SUCH_PATH,
            Self::MethodNotAllowed => &causes::METHOD_NOT_ALLOWED,
            Self::NotFound { cause, .. } | Self::Conflict { cause, .. } => cause,
            Self::BadInput(_) => &causes::BAD_INPUT,
            Self::NotHttp(status) => match *status {
                StatusCode::URI_TOO_LONG => &causes::URI_TOO_LONG,
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => &causes::HEADERS_TOO_LARGE,
                _ => &causes::MALFORMED_REQUEST,
            },
            Self::BodyTimeout => &causes::REQUEST_TIMEOUT,
            Self::UnsupportedMediaType(_) => &causes::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => &causes::TOO_LARGE,
            Self::NothingClaimable { .. } => &causes::NOTHING_CLAIMABLE,
            Self::PositionNotReached(_) => &causes::POSITION_NOT_REACHED,
            Self::Unavailable(_) => &causes::UNAVAILABLE,
            Self::NotReady(_) => &causes::NOT_READY,
            Self::Internal => &causes::INTERNAL,
        }
    }

    /// Turns the failure into a status, headers and a body; nothing else does. The inner error was
    /// logged where it occurred, and is never sent.
    fn into_parts(self) -> (StatusCode, HeaderMap, Vec<u8>) {
        let cause = self.cause();
        let mut body = ProblemBody {
            kind: format!("/problems/{}", cause.name),
            title: cause.title,
            status: cause.status.as_u16(),
            detail: self.to_string(),
            errors: vec![],
            state: None,
            reasons: vec![],
            warnings: vec![],
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self {
            Self::BadInput(errors) => body.errors = errors,
            Self::NothingClaimable { state, .. } => body.state = state,
            Self::NotReady(report) => {
                body.reasons = report.reasons;
                body.warnings = report.warnings;
            }
            Self::Unauthenticated(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::PositionNotReached(_) | Self::Unavailable(_) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        let json = serde_json::to_vec(&body).expect("a problem is plain data");
        (cause.status, headers, json)
    }

    /// Returns the whole answer as bytes, for a connection that is closed after it.
    pub(crate) fn into_http1(self) -> Vec<u8> {
        let (status, headers, body) = self.into_parts();
        let mut bytes = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
        for (name, value) in &headers {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_parts().into_response()
    }
}

/// Maps a failure of the store: the database does not answer, or Plaudit has a fault.
impl From<&ExecuteError> for Problem {
    fn from(error: &ExecuteError) -> Self {
        if error.is_transient() {
            tracing::warn!(%error, "the database did not answer a request");
            return Self::Unavailable("the database does not answer");
        }
        tracing::error!(%error, "a request failed");
        Self::Internal
    }
}

impl From<NotApplied> for Problem {
    fn from(NotApplied(reason): NotApplied) -> Self {
        tracing::error!(reason, "a request was not applied: {reason}");
        Self::Internal
    }
}

impl From<ExecuteError> for Problem {
    fn from(error: ExecuteError) -> Self {
        Self::from(&error)
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from(&ExecuteError::from(error))
    }
}

/// Answers requests for unknown paths.
pub async fn no_such_path(request: Request) -> Problem {
    // The router matches no empty segment, but an empty user id is invalid input and not an unknown
    // path.
    if request.uri().path().starts_with("/v1/users//")
        || request.uri().path().starts_with("/v1/audit/users//")
    {
        return InputError::parameter("user", "a user id has 1 to 256 bytes").into();
    }
    Problem::NoSuchPath
}

/// Answers requests with a method that the path does not take.
pub async fn method_not_allowed() -> Problem {
    Problem::MethodNotAllowed
}

/// Turns an error answer of the framework into a problem.
pub fn normalised(response: Response) -> Response {
    let status = response.status();
    let is_problem = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == MEDIA_TYPE);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::NoSuchPath,
        StatusCode::METHOD_NOT_ALLOWED => Problem::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge("the request is too large".to_owned()),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::UnsupportedMediaType("another media type"),
        status if status.is_client_error() => {
            Problem::BadInput(vec![InputError::body("", "the request can't be read")])
        }
        _ => Problem::Internal,
    };
    let allow = response.headers().get(ALLOW).cloned();
    let mut normalised = problem.into_response();
    if let Some(allow) = allow {
        normalised.headers_mut().insert(ALLOW, allow);
    }
    normalised
}
