//! One attempt: a signed request and its answer.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use plaudit_event_store::deliveries::Attempt;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};

use super::address::CheckedResolver;
use super::{Secret, signature};

/// Maximum size of an answer that is read and kept, in bytes. The rest is never read.
const ANSWER_BYTES_MAX: usize = 1_024;
/// The longest wait that an endpoint may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// Time after which an idle connection is closed.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// HTTP client for messages. Follows no redirect, uses no proxy, and reaches private addresses only
/// if that is allowed.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

/// Classification of an endpoint's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// 2xx.
    Accepted,
    /// 422: the payer will not pay this.
    Refused,
    /// Another answer about this message; another message may be accepted.
    Rejected,
    /// No answer, or one about the endpoint as a whole.
    Unavailable,
    /// The attempt failed in this process. This shows nothing about the endpoint, which may have
    /// got the message.
    Failed,
}

/// An attempt and its result.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Classification of the answer.
    pub reply: Reply,
    /// Time for which the endpoint wants no further message.
    pub retry_after: Option<Duration>,
    /// Details for operators.
    pub attempt: Attempt,
}

impl Client {
    /// Makes a client; `timeout` limits each request.
    pub fn new(timeout: Duration, allow_private: bool) -> reqwest::Result<Self> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("plaudit/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(timeout)
            .pool_idle_timeout(IDLE_MAX)
            .dns_resolver(CheckedResolver { allow_private })
            .build()?;
        Ok(Self(client))
    }

    /// Posts a message under its id, which stays the same in every attempt.
    pub async fn post(&self, url: &Url, secrets: &[Secret], id: &str, body: String) -> Posted {
        let (at, began) = (Timestamp::now(), Instant::now());
        let timestamp = at.as_second();
        let request = self
            .0
            .post(url.clone())
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=UTF-8")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature(secrets, id, timestamp, &body))
            .body(body);
        let answered = request.send().await;
        let (status, error, answer, retry_after) = match answered {
            Ok(response) => {
                let (status, retry_after) = (response.status(), retry_after(&response));
                let answer = first_bytes(response).await;
                let error = (!status.is_success()).then(|| refusal(status, &answer));
                (Some(status), error, Some(answer), retry_after)
            }
            Err(error) => (None, Some(error_text(&error.without_url())), None, None),
        };
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let answer = answer.filter(|answer| !answer.is_empty());
        let status_code = status.map(|status| status.as_u16());
        let attempt = Attempt { at, duration_ms, status: status_code, error, answer };
        Posted { reply: reply(status), retry_after, attempt }
    }
}

fn reply(status: Option<StatusCode>) -> Reply {
    match status.map(|status| status.as_u16()) {
        Some(200..=299) => Reply::Accepted,
        Some(422) => Reply::Refused,
        // Answers that concern every message alike: the endpoint has moved, is closed to us, or is
        // overloaded.
        Some(300..=399 | 401 | 403 | 404 | 405 | 408 | 410 | 429 | 500..) | None => {
            Reply::Unavailable
        }
        Some(_) => Reply::Rejected,
    }
}

fn refusal(status: StatusCode, answer: &str) -> String {
    let hint = if status.is_redirection() { ", and redirects are not followed" } else { "" };
    let line: String = answer.lines().next().unwrap_or_default().chars().take(200).collect();
    let said = if line.is_empty() { String::new() } else { format!(": {line}") };
    format!("the endpoint answered {}{hint}{said}", status.as_u16())
}

/// Describes an error by its innermost cause: the outermost only says "error sending request".
fn error_text(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        "no connection".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    if !last.is_empty() && !error.is_timeout() {
        text.push_str(": ");
        text.push_str(&last);
    }
    text
}

fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    wait_named_by(text.trim(), SystemTime::now())
}

/// Parses `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3); at most [`RETRY_AFTER_MAX`].
fn wait_named_by(text: &str, now: SystemTime) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        // A number beyond 64 bits is a long wait, too.
        text.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

async fn first_bytes(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    // PostgreSQL does not accept NUL in text.
    String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_or_a_date_and_an_hour_at_most() {
        let now = httpdate::parse_http_date("Thu, 26 Nov 2026 08:00:00 GMT").unwrap();
        for (text, expected) in [
            ("0", Some(0)),
            ("20", Some(20)),
            ("3601", Some(3_600)),
            ("18446744073709551616", Some(3_600)),
            ("99999999999999999999999999999999", Some(3_600)),
            ("Thu, 26 Nov 2026 08:00:30 GMT", Some(30)),
            ("Thu, 26 Nov 2026 07:59:30 GMT", Some(0)),
            ("Fri, 27 Nov 2026 08:00:00 GMT", Some(3_600)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let wait = wait_named_by(text, now);
            assert_eq!(wait, expected.map(Duration::from_secs), "{text}");
        }
    }
}
