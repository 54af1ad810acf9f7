//! Form checks for every path: the `Host` header, and the percent-encoding of path and query.

use axum::extract::{MatchedPath, Request};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Version};
use axum::middleware::Next;
use axum::response::Response;

use crate::input::{decode_segment, is_percent_encoded};
use crate::problem::{Answer, InputError, Problem};

/// Refuses an HTTP/1.1 request without exactly one valid `Host`.
///
/// # Source
///
/// RFC 9112, section 3.2.
pub async fn host(request: Request, next: Next) -> Answer<Response> {
    if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
        return Err(InputError::parameter("Host", "send exactly one `Host` header").into());
    }
    Ok(next.run(request).await)
}

fn has_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    // `Host` is empty if the request's target has no host.
    host.is_empty() || Authority::try_from(host.as_bytes()).is_ok()
}

/// Refuses a path or query with a `%` that is not followed by two hexadecimal digits, and a query
/// that is not UTF-8. Names every such place. A path segment that is not UTF-8 is left to its
/// handler, because it may name something that does not exist.
pub async fn encoding(request: Request, next: Next) -> Answer<Response> {
    let template = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let errors = errors(template, request.uri().path(), request.uri().query().unwrap_or_default());
    if errors.is_empty() { Ok(next.run(request).await) } else { Err(Problem::BadInput(errors)) }
}

fn errors(template: &str, path: &str, query: &str) -> Vec<InputError> {
    let wrong = |name: &str| InputError::parameter(name, "it is not valid percent-encoded UTF-8");
    let is_utf8 = |text: &str| is_percent_encoded(text) && decode_segment(text).is_some();
    let segments = path.split('/').zip(template.split('/'));
    let in_path = segments
        .filter(|(segment, _)| !is_percent_encoded(segment))
        .map(|(_, name)| wrong(name.trim_start_matches('{').trim_end_matches('}')));
    let in_query = query.split('&').filter(|pair| !is_utf8(pair)).map(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        wrong(if is_utf8(name) { name } else { "query" })
    });
    in_path.chain(in_query).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_malformed_place_is_named() {
        let named = |path, query| -> Vec<String> {
            let errors = errors("/v1/users/{user}/tasks/{task}", path, query);
            errors.into_iter().filter_map(|error| error.parameter).collect()
        };
        assert!(named("/v1/users/a%20b/tasks/x", "locale=%E9%A6%96&state=").is_empty());
        assert_eq!(named("/v1/users/100%/tasks/%zz", ""), ["user", "task"]);
        assert_eq!(named("/v1/users/%ff/tasks/x", "locale=%ff&%=1"), ["locale", "query"]);
    }
}
