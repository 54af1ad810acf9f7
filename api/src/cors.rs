//! Cross-origin requests (CORS): the browser pages that may call the API.

use std::time::Duration;

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::position::PLAUDIT_POSITION;
use crate::telemetry::REQUEST_ID;

/// The time for which a browser may cache the answer to a preflight request.
const MAX_AGE: Duration = Duration::from_secs(600);

/// The origins whose pages may call the API. If it is empty, no CORS header is sent.
#[derive(Debug, Clone, Default)]
pub struct CorsOrigins(Vec<HeaderValue>);

impl CorsOrigins {
    /// Reads origins such as `https://app.example`, or `*` for all.
    ///
    /// # Errors
    ///
    /// Returns the entry that is not an origin.
    pub fn parse(origins: &[String]) -> Result<Self, String> {
        let is_origin = |text: &str| {
            let url = text.parse::<reqwest::Url>();
            text == "*" || url.is_ok_and(|url| url.origin().ascii_serialization() == text)
        };
        let origin = |text: &String| {
            let value = HeaderValue::from_str(text).ok().filter(|_| is_origin(text));
            value.ok_or_else(|| text.clone())
        };
        origins.iter().map(origin).collect::<Result<_, _>>().map(Self)
    }

    /// Returns the layer that answers preflight requests and adds the CORS headers; `None` without
    /// origins.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let Self(origins) = self;
        let allowed = match origins.as_slice() {
            [] => return None,
            all if all.iter().any(|origin| origin == "*") => AllowOrigin::any(),
            listed => AllowOrigin::list(listed.iter().cloned()),
        };
        let header = HeaderName::from_static;
        let sent = [AUTHORIZATION, CONTENT_TYPE, IF_NONE_MATCH, PLAUDIT_POSITION];
        let named = [header("prefer"), header("idempotency-key")];
        let layer = CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(sent.into_iter().chain(named).collect::<Vec<_>>())
            .expose_headers([ETAG, RETRY_AFTER, PLAUDIT_POSITION, REQUEST_ID])
            .max_age(MAX_AGE);
        Some(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_a_scheme_a_host_and_no_path() {
        let parse = |text: &str| CorsOrigins::parse(&[text.to_owned()]);
        for good in ["https://app.example", "http://localhost:3000", "*"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "app.example",
            "https://app.example/",
            "https://*.example/x",
            "HTTPS://APP.example",
            "",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
