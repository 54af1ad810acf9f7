//! Parameters that several operations share. They are read in `input` and `position`.

use utoipa::IntoParams;

/// The path parameter that names a user.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct User {
    /// The user's id: 1 to 256 bytes of UTF-8 without control characters, percent-encoded.
    pub user: String,
}

/// The path parameter that names a task.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Task {
    /// The task's id.
    #[param(pattern = "^[a-z0-9._-]{1,64}$")]
    pub task: String,
}

/// The path parameter that names a projection.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Projection {
    /// The projection's name.
    #[param(example = "task_view")]
    pub name: String,
}

/// The path parameter that names a grant.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Grant {
    /// The id of the grant.
    pub grant: uuid::Uuid,
}

/// The header with which a client resumes a stream.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct LastEventId {
    /// The last `id` that was received: a position.
    #[param(required = false, rename = "Last-Event-ID")]
    pub last: Option<String>,
}

/// The path parameter that names a parked record.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ParkedRecord {
    /// The record's id.
    pub id: uuid::Uuid,
}

/// The start and the length of a page.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// The `next` of the previous page.
    #[param(required = false)]
    pub after: Option<String>,
    /// The largest number of entries.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
}

/// The position that an answer must have reached, as a query parameter.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AtLeast {
    /// A position that an earlier answer named, such as `17:5210`.
    #[param(required = false, pattern = "^[0-9]+:[0-9]+$")]
    pub at_least: Option<String>,
}

/// The position that an answer must have reached, as a header, and the time to wait for it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Waiting {
    /// A position; used if `at_least` is absent.
    #[param(required = false, rename = "Plaudit-Position")]
    pub position: Option<String>,
    /// `wait=N`: the seconds to wait for the position, at most 10.
    #[param(required = false, rename = "Prefer", example = "wait=2")]
    pub prefer: Option<String>,
}

/// The header for revalidating an earlier answer.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Known {
    /// An `ETag` of an earlier answer.
    #[param(required = false, rename = "If-None-Match")]
    pub known: Option<String>,
}

/// The language of texts.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Locale {
    /// A BCP 47 tag. Absent: the first language of `Accept-Language`. Without a translation: the
    /// task's default.
    #[param(required = false)]
    pub locale: Option<String>,
}

/// The header for safe retries.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Idempotency {
    /// 1 to 255 visible ASCII characters; the same key gets the same receipt.
    #[param(required = false, rename = "Idempotency-Key")]
    pub key: Option<String>,
}

/// The attributes of one action in binary mode, percent-encoded. The body is its `data`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct BinaryMode {
    /// `1.0`. With any of these headers, the body is the `data` of the action, unless its media
    /// type is that of a `CloudEvent`.
    #[param(required = false, rename = "ce-specversion")]
    pub specversion: Option<String>,
    /// The system that reports the action.
    #[param(required = false, rename = "ce-source")]
    pub source: Option<String>,
    /// The id of the action, unique within its source and user.
    #[param(required = false, rename = "ce-id")]
    pub id: Option<String>,
    /// The type of the action.
    #[param(required = false, rename = "ce-type")]
    pub kind: Option<String>,
    /// The user.
    #[param(required = false, rename = "ce-subject")]
    pub subject: Option<String>,
    /// The time at which it occurred (RFC 3339).
    #[param(required = false, rename = "ce-time")]
    pub time: Option<String>,
}
