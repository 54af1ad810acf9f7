//! Positions: every answer names the position at which it was true, and a reader may demand a
//! minimum.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use plaudit_domain::lane::{Lane, Position};
use plaudit_event_store::lanes;
use plaudit_followers::NotReached;
use tokio::time::Instant;

use crate::deadline;
use crate::input::Query;
use crate::problem::{Answer, Problem};
use crate::state::ApiState;

/// The header that carries a position, in requests and answers.
pub const PLAUDIT_POSITION: HeaderName = HeaderName::from_static("plaudit-position");

/// The longest time that a reader can wait.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The minimum position that a reader demands.
#[derive(Debug, PartialEq, Eq)]
pub struct AtLeast {
    position: Option<Position>,
    wait: Duration,
}

impl AtLeast {
    /// Reads `at_least`, or the header in its absence, and `Prefer: wait=N`.
    pub fn read(query: &mut Query, headers: &HeaderMap, lane: Lane) -> Self {
        let header = headers
            .get(PLAUDIT_POSITION)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let (name, text) = match query.text("at_least") {
            Some(text) => ("at_least", Some(text)),
            None => ("Plaudit-Position", header),
        };
        let position = text.and_then(|text| query.checked(name, text.parse::<Position>()));
        let own = |position: Position| {
            let other = || format!("{position} is in another lane; this user's lane is {lane}");
            if position.lane == lane { Ok(position) } else { Err(other()) }
        };
        let position = position.and_then(|position| query.checked(name, own(position)));
        Self { position, wait: wait(headers).min(WAIT_MAX) }
    }

    /// True if a read at `position` is recent enough.
    pub fn is_met_at(&self, position: Position) -> bool {
        self.position.is_none_or(|asked| asked.number <= position.number)
    }

    /// Waits until the lane has reached the position; refuses the request if it does not in time.
    pub async fn reached(&self, state: &ApiState) -> Answer<()> {
        let Some(asked) = self.position else { return Ok(()) };
        if self.wait.is_zero() {
            // The watch may be a moment behind; without a wait the head must be read now.
            let head = lanes::head(asked.lane, &mut *state.pool.acquire().await?).await?;
            return if head.number >= asked.number { Ok(()) } else { Err(not_reached(asked)) };
        }
        let waiting = state.heads.wait_for(asked, Instant::now() + self.wait);
        deadline::not_counted(self.wait, waiting).await.map_err(|error| match error {
            NotReached::Behind(_) => not_reached(asked),
            NotReached::Unavailable(reason) => {
                tracing::warn!(reason, "the heads of the lanes can't be read");
                Problem::Unavailable("the database does not answer; try again")
            }
        })
    }
}

fn not_reached(asked: Position) -> Problem {
    Problem::PositionNotReached(asked.to_string())
}

/// Returns the seconds of `Prefer: wait=N`; 0 if it is absent or malformed.
///
/// # Source
///
/// RFC 7240, sections 2 and 4.3.
fn wait(headers: &HeaderMap) -> Duration {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let seconds = preferences.flat_map(|value| value.split([',', ';'])).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        // A value that is too large for a `u64` means the longest wait.
        (is_wait && digits).then(|| value.parse().unwrap_or(u64::MAX))
    });
    Duration::from_secs(seconds.unwrap_or(0))
}

/// Returns the position as a header value.
pub fn header_value(position: Position) -> HeaderValue {
    HeaderValue::from_str(&position.to_string()).expect("digits and a colon")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_is_read_among_other_preferences() {
        let cases = [
            ("wait=2", 2),
            ("respond-async, wait=10", 10),
            ("Wait = \"3\"; x=1", 3),
            ("wait", 0),
            ("wait=-1", 0),
            ("wait=x", 0),
            ("wait=", 0),
            ("wait=9999999999", 9_999_999_999),
            ("wait=99999999999999999999", u64::MAX),
            ("waiting=5", 0),
        ];
        for (value, seconds) in cases {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static("prefer"),
                HeaderValue::from_static(value),
            )]);
            assert_eq!(wait(&headers).as_secs(), seconds, "{value}");
        }
    }
}
