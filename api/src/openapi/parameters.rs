//! Parameters that several operations take. They are read in `input` and `position`.

use utoipa::IntoParams;

/// Whose.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct User {
    /// The user's id: 1 to 256 bytes of UTF-8 without control characters, percent-encoded.
    pub user: String,
}

/// Which task.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Task {
    /// The task's id.
    #[param(pattern = "^[a-z0-9._-]{1,64}$")]
    pub task: String,
}

/// Which projection.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Projection {
    /// The projection's name.
    #[param(example = "task_view")]
    pub name: String,
}

/// Which grant.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Grant {
    /// The id of the grant.
    pub grant: uuid::Uuid,
}

/// Where a stream goes on.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct LastEventId {
    /// The last `id` that was received: a position.
    #[param(required = false, rename = "Last-Event-ID")]
    pub last: Option<String>,
}

/// Which parked record.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct ParkedRecord {
    /// The record's id.
    pub id: uuid::Uuid,
}

/// From where on, and how many.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// What `next` of the page before said.
    #[param(required = false)]
    pub after: Option<String>,
    /// How many at most.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<u32>,
}

/// The position that an answer must have reached, in the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AtLeast {
    /// A position that an earlier answer named, such as `17:5210`.
    #[param(required = false, pattern = "^[0-9]+:[0-9]+$")]
    pub at_least: Option<String>,
}

/// The same in headers, and how long to wait for it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Waiting {
    /// In the place of `at_least`.
    #[param(required = false, rename = "Plaudit-Position")]
    pub position: Option<String>,
    /// `wait=N`: how many seconds to wait for the position, at most 10.
    #[param(required = false, rename = "Prefer", example = "wait=2")]
    pub prefer: Option<String>,
}

/// For what the client has already.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct Known {
    /// An `ETag` of an earlier answer.
    #[param(required = false, rename = "If-None-Match")]
    pub known: Option<String>,
}

/// In which language.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Locale {
    /// BCP 47; absent: the first of `Accept-Language`; unknown: the task's default.
    #[param(required = false)]
    pub locale: Option<String>,
}

/// For safe retries.
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
    /// `1.0`. With any of these headers, a body that is no `CloudEvent` by its type is `data`.
    #[param(required = false, rename = "ce-specversion")]
    pub specversion: Option<String>,
    /// Who says so.
    #[param(required = false, rename = "ce-source")]
    pub source: Option<String>,
    /// Names the action within its source and user.
    #[param(required = false, rename = "ce-id")]
    pub id: Option<String>,
    /// What was done.
    #[param(required = false, rename = "ce-type")]
    pub kind: Option<String>,
    /// The user.
    #[param(required = false, rename = "ce-subject")]
    pub subject: Option<String>,
    /// When it occurred (RFC 3339).
    #[param(required = false, rename = "ce-time")]
    pub time: Option<String>,
}
