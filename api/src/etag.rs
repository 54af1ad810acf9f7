//! Answers to reads. They carry their position, and an `ETag` that changes with their content.

use std::hash::{DefaultHasher, Hasher as _};

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use plaudit_domain::lane::Position;
use serde::Serialize;

use crate::position::{PLAUDIT_POSITION, header_value};

/// The position and time at which an answer was true. Neither is part of its tag.
#[derive(Debug, Clone, Copy)]
pub struct AsOf {
    /// The head of the user's lane.
    pub position: Position,
    /// The time of the read, if the content depends on it.
    pub now: Option<Timestamp>,
}

impl From<Position> for AsOf {
    fn from(position: Position) -> Self {
        Self { position, now: None }
    }
}

/// Answers a read about one user; with 304 if the client already has this content.
pub fn answer<T: Serialize>(request: &HeaderMap, as_of: impl Into<AsOf>, shown: &T) -> Response {
    let as_of = as_of.into();
    let shown = serde_json::to_vec(shown).expect("what is shown is plain data");
    let tag = tag(&shown);
    let known = matches(request, &tag);
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let json = with_as_of(as_of, &shown);
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(PLAUDIT_POSITION, header_value(as_of.position));
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal in quotes"));
    // Only the client may store the answer, and must revalidate it each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("Authorization, Accept-Language"));
    response
}

/// Inserts the position and the time as the first fields of `shown`, a serialised object. It is
/// serialised only once, for the tag and the body.
fn with_as_of(AsOf { position, now }: AsOf, shown: &[u8]) -> Vec<u8> {
    let now = now.map_or_else(String::new, |now| format!("\"now\":\"{now}\","));
    let mut json = format!("{{\"position\":\"{position}\",{now}").into_bytes();
    json.extend_from_slice(shown.strip_prefix(b"{").expect("what is shown is an object"));
    json
}

/// Returns a weak tag: answers with the same tag may differ in their position.
///
/// It is fast, and the same in all processes of one build. A change of its hash in another build
/// costs each client one full answer.
fn tag(shown: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(shown);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// True if `If-None-Match` names the tag.
///
/// # Source
///
/// RFC 9110, section 13.1.2: a list or `*`, compared weakly.
fn matches(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let named = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    named
        .flat_map(|value| value.split(','))
        .any(|one| one.trim() == "*" || opaque(one) == opaque(tag))
}

/// Builds an answer with `Cache-Control: no-store`.
pub fn no_store<T: Serialize>(body: &T) -> Response {
    let json = serde_json::to_vec(body).expect("what is shown is plain data");
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, json).into_response()
}

/// Builds an answer with `Cache-Control: no-store` and a position.
pub fn no_store_at<T: Serialize>(position: Position, body: &T) -> Response {
    let mut response = no_store(body);
    response.headers_mut().insert(PLAUDIT_POSITION, header_value(position));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_and_by_a_star() {
        let tag = tag(b"shown");
        let asked = |value: &str| {
            matches(
                &HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_str(value).unwrap())]),
                &tag,
            )
        };
        assert!(asked(&tag) && asked("*") && asked(&format!("\"other\", {tag}")));
        assert!(asked(tag.trim_start_matches("W/")));
        assert!(!asked("\"other\"") && !matches(&HeaderMap::new(), &tag));
    }
}
