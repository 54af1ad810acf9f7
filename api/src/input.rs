//! Parsing of paths, queries, headers and bodies. Errors become problems that name the place.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use futures::StreamExt;
use percent_encoding::percent_decode_str;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_event_store::parked;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::deadline;
use crate::in_flight::{Held, InFlight};
use crate::problem::{Answer, InputError, Problem, causes};
use crate::state::{ApiState, Shared};

/// The number of entries in a page of a list, unless `limit` says otherwise.
pub const LIMIT_DEFAULT: u32 = 100;
/// The largest `limit` of a list.
pub const LIMIT_MAX: u32 = 1_000;

/// The user id in a path.
#[derive(Debug)]
pub struct UserPath(pub UserId);

/// The task id in a path.
#[derive(Debug)]
pub struct TaskPath(pub TaskId);

/// The projection's name in a path.
#[derive(Debug)]
pub struct NamePath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let text = decode_segment(path_segment("user", parts)).ok_or_else(|| {
            InputError::parameter("user", "a user id is UTF-8, percent-encoded where needed")
        })?;
        let user = text.parse::<UserId>();
        Ok(Self(user.map_err(|e| InputError::parameter("user", e.to_string()))?))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = Problem;

    /// A malformed id is an unknown task: no task can have it.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let raw = path_segment("task", parts);
        let text = decode_segment(raw).unwrap_or(Cow::Borrowed(raw));
        text.parse().map(Self).map_err(|_| unknown_task(&text))
    }
}

/// The task id in a path; the catalogue has the task. For operations that read a body: an unknown
/// task is reported before errors in the input.
#[derive(Debug)]
pub struct KnownTask(pub TaskId);

impl FromRequestParts<Shared> for KnownTask {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Answer<Self> {
        let TaskPath(task) = TaskPath::from_request_parts(parts, state).await?;
        let catalogue = state.executor.catalogue().newest(&state.pool).await?;
        catalogue.task(&task).map(|_| ()).ok_or_else(|| unknown_task(&task))?;
        Ok(Self(task))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let raw = path_segment("name", parts);
        Ok(Self(decode_segment(raw).unwrap_or(Cow::Borrowed(raw)).into_owned()))
    }
}

/// The id in a path of a record that is or was parked. An unknown record is reported before errors
/// in the input.
#[derive(Debug)]
pub struct KnownParked(pub Uuid);

impl FromRequestParts<Shared> for KnownParked {
    type Rejection = Problem;

    /// A malformed id is an unknown record: none can have it.
    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Answer<Self> {
        let raw = path_segment("id", parts);
        let unknown = || Problem::NotFound {
            cause: &causes::UNKNOWN_PARKED,
            detail: format!("unknown parked record {raw}"),
        };
        let id = raw.parse().map_err(|_| unknown())?;
        if parked::is_known(&state.operators, id).await? { Ok(Self(id)) } else { Err(unknown()) }
    }
}

/// The id of a grant in a path.
#[derive(Debug)]
pub struct GrantPath(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for GrantPath {
    type Rejection = Problem;

    /// A malformed id is an unknown grant: none can have it.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let raw = path_segment("grant", parts);
        raw.parse().map(Self).map_err(|_| unknown_grant(raw))
    }
}

/// The problem for an unknown grant.
pub fn unknown_grant(grant: impl Display) -> Problem {
    let detail = format!("unknown grant {grant}");
    Problem::NotFound { cause: &causes::UNKNOWN_GRANT, detail }
}

/// Returns the path segment at `{name}`, as sent. The framework's own extractor refuses the whole
/// path if any segment is invalid, and does not say which.
pub fn path_segment<'a>(name: &str, parts: &'a Parts) -> &'a str {
    let is_named = |part: &str| {
        part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).is_some_and(|n| n == name)
    };
    let template = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let place = template.split('/').position(is_named);
    place.and_then(|place| parts.uri.path().split('/').nth(place)).unwrap_or_default()
}

/// The problem for a task that the catalogue does not have.
pub fn unknown_task(task: impl Display) -> Problem {
    Problem::NotFound { cause: &causes::UNKNOWN_TASK, detail: format!("unknown task {task}") }
}

/// Returns the problem to answer with: an unknown task takes precedence over errors in the input.
pub async fn unless_unknown(state: &ApiState, task: &TaskId, wrong: Problem) -> Problem {
    match state.executor.catalogue().newest(&state.pool).await {
        Ok(catalogue) if catalogue.task(task).is_none() => unknown_task(task),
        // If the catalogue can't be read, the input error is all that is known.
        Ok(_) | Err(_) => wrong,
    }
}

/// Decodes a path segment or a header's value; `None` if it is not UTF-8.
pub fn decode_segment(raw: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(raw).decode_utf8().ok()
}

/// True if each `%` is followed by two hexadecimal digits.
pub fn is_percent_encoded(raw: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = raw.as_bytes();
    let mut percents = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    percents.all(|(at, _)| is_digit(bytes.get(at + 1)) && is_digit(bytes.get(at + 2)))
}

/// Reads `Idempotency-Key`: 1 to 255 visible ASCII characters.
pub fn idempotency_key(headers: &HeaderMap) -> Answer<Option<String>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    match (key, values.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(InputError::parameter(
            "Idempotency-Key",
            "must be one key of 1 to 255 visible ASCII characters",
        )
        .into()),
    }
}

/// The query of a request. Collects errors, so that all are reported at once.
#[derive(Debug, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    errors: Vec<InputError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        let pairs = axum::extract::Query::try_from_uri(&parts.uri)
            .map_err(|_| InputError::parameter("query", "must be name=value pairs, joined by &"))?;
        Ok(Self { pairs: pairs.0, errors: vec![] })
    }
}

impl Query {
    /// Returns a parameter as text. A parameter that is given twice is an error, and so is one with
    /// NUL, which no stored text contains.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut values = self.pairs.iter().filter(|(have, _)| have == name).map(|(_, value)| value);
        let value = values.next().cloned();
        if values.next().is_some() {
            self.errors.push(InputError::parameter(name, "is given more than once"));
        }
        if value.as_ref().is_some_and(|value| value.contains('\0')) {
            self.errors.push(InputError::parameter(name, "must not contain NUL"));
            return None;
        }
        value
    }

    /// Returns a parsed parameter; `None` if it is absent or malformed. The latter is reported by
    /// [`Self::finish`].
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        self.checked(name, text.parse())
    }

    /// Returns the value, or records the error of the parameter.
    pub fn checked<T>(&mut self, name: &str, got: Result<T, impl Display>) -> Option<T> {
        match got {
            Ok(value) => Some(value),
            Err(why) => {
                self.errors.push(InputError::parameter(name, why.to_string()));
                None
            }
        }
    }

    /// Returns the `limit` of a list.
    pub fn limit(&mut self) -> u32 {
        let Some(text) = self.text("limit") else { return LIMIT_DEFAULT };
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        self.checked("limit", limit.ok_or(format_args!("must be from 1 to {LIMIT_MAX}")))
            .unwrap_or(LIMIT_DEFAULT)
    }

    /// Returns an instant in the format of RFC 3339.
    pub fn instant(&mut self, name: &str) -> Option<jiff::Timestamp> {
        let text = plus_restored(&self.text(name)?);
        let wrong =
            format!("must be an RFC 3339 instant, such as 2026-03-29T01:30:00Z, got {text:?}");
        self.checked(name, plaudit_domain::action::instant(&text).map_err(|_| wrong))
    }

    /// Refuses the request if an error was recorded.
    pub fn finish(self) -> Answer<()> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::BadInput(self.errors)) }
    }
}

/// Turns spaces back into `+`: an unencoded `+` arrives as a space, and no instant contains spaces.
pub fn plus_restored(instant: &str) -> String {
    instant.replace(' ', "+")
}

/// Returns the reader's language: `locale`, or else the first language of `Accept-Language`.
pub fn locale(query: &mut Query, headers: &HeaderMap) -> Option<String> {
    query.text("locale").or_else(|| {
        let accepted = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
        let first = accepted.split(',').next()?.split(';').next()?.trim();
        (!first.is_empty() && first != "*").then(|| first.to_owned())
    })
}

/// Returns the media type of the body, in lower case and without parameters.
pub fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Refuses compressed bodies.
pub fn refuse_encoded(headers: &HeaderMap) -> Answer<()> {
    let plain = headers
        .get(CONTENT_ENCODING)
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain {
        Ok(())
    } else {
        Err(Problem::UnsupportedMediaType("the body without a Content-Encoding"))
    }
}

/// Time limit for a client to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body of at most `max_bytes` that must be a JSON object.
pub async fn read_object(
    state: &ApiState,
    headers: &HeaderMap,
    body: Body,
    max_bytes: usize,
) -> Answer<(Map<String, Value>, Held)> {
    refuse_encoded(headers)?;
    if media_type(headers).is_none_or(|kind| kind != "application/json") {
        return Err(Problem::UnsupportedMediaType("application/json"));
    }
    let (body, held) = read_body(body, max_bytes, &state.in_flight).await?;
    let fields = serde_json::from_slice(&body)
        .map_err(|e| InputError::body("", format!("not a JSON object: {e}")))?;
    Ok((fields, held))
}

/// Reads a body of at most `max_bytes`, within [`BODY_TIMEOUT`] and the memory that all requests
/// may hold together.
pub async fn read_body(
    body: Body,
    max_bytes: usize,
    in_flight: &InFlight,
) -> Answer<(Bytes, Held)> {
    let mut held = in_flight.admit()?;
    let reading = tokio::time::timeout(BODY_TIMEOUT, read_to_end(body, max_bytes, &mut held));
    let read = deadline::not_counted(BODY_TIMEOUT, reading).await;
    Ok((read.unwrap_or(Err(Problem::BodyTimeout))?, held))
}

async fn read_to_end(body: Body, max_bytes: usize, held: &mut Held) -> Answer<Bytes> {
    let mut chunks = body.into_data_stream();
    let mut read = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| InputError::body("", "the body ended early"))?;
        if read.len() + chunk.len() > max_bytes {
            return Err(Problem::TooLarge(format!("the body is longer than {max_bytes} bytes")));
        }
        held.grow(chunk.len())?;
        read.extend_from_slice(&chunk);
    }
    Ok(read.into())
}

/// Cuts a list to a page of `limit` entries. Returns the key of its last entry, the `after` of the
/// next page, if there are more.
pub fn cut_page<T, K>(entries: &mut Vec<T>, limit: u32, key: impl FnOnce(&T) -> K) -> Option<K> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    entries.last().filter(|_| has_more).map(key)
}

/// Returns the JSON Pointer to a field of the body.
pub fn pointer_to(field: &str) -> String {
    format!("/{}", field.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_percent_decoded() {
        assert_eq!(decode_segment("u42").as_deref(), Some("u42"));
        assert_eq!(decode_segment("a%20b%2Fc").as_deref(), Some("a b/c"));
        assert_eq!(decode_segment("%E9%A6%96").as_deref(), Some("首"));
        assert_eq!(decode_segment("100%").as_deref(), Some("100%"));
        assert_eq!(decode_segment("%ff"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_to_an_end_is_given_up() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let started = tokio::time::Instant::now();
        assert!(matches!(
            read_body(never, 10, &InFlight::new(10_000)).await,
            Err(Problem::BodyTimeout)
        ));
        assert_eq!(started.elapsed().as_secs(), BODY_TIMEOUT.as_secs());
    }

    #[test]
    fn a_page_names_its_last_entry_if_there_are_more() {
        for (count, expected) in [(0, None), (2, None), (3, Some(2))] {
            let mut entries: Vec<i32> = (1..=count).collect();
            assert_eq!(cut_page(&mut entries, 2, |entry| *entry), expected, "{count}");
            assert_eq!(entries.len(), usize::try_from(count).unwrap().min(2));
        }
    }

    #[test]
    fn every_error_in_the_parameters_is_reported() {
        let pairs =
            [("limit", "0"), ("after", "x"), ("from", "yesterday"), ("until", "1"), ("until", "2")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut query = Query { pairs, errors: vec![] };
        query.limit();
        query.parsed::<i64>("after");
        query.instant("from");
        query.text("until");
        let Err(Problem::BadInput(errors)) = query.finish() else { panic!("refused") };
        let named: Vec<_> = errors.iter().filter_map(|error| error.parameter.as_deref()).collect();
        assert_eq!(named, ["limit", "after", "from", "until"]);
    }
}
