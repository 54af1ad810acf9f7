//! `GET /v1/users/{user}/stream`: a user's changes as server-sent events.
//!
//! # Source
//!
//! WHATWG HTML, section 9.2: the format, and how clients treat `id` and `retry`.

mod messages;

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, Position};
use plaudit_event_store::{lanes, pool, reader};
use tokio::time::{Instant, sleep_until};

use crate::auth::Caller;
use crate::input::UserPath;
use crate::problem::{Answer, InputError, ProblemBody};
use crate::state::Shared;
use crate::streams::Subscription;
use crate::wire::parameters;

/// Interval between heartbeats on a silent stream. Intermediaries close connections that are silent
/// for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The delay after which a client reconnects.
const RETRY: Duration = Duration::from_secs(2);

/// Events of a user read per query.
const PAGE: i64 = 200;

/// Time limit for reading a page of a user's events.
const READ_MAX: Duration = Duration::from_secs(4);

/// The pause of a stream after a failed read.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /v1/users/{user}/stream`: `task` and `reward` events as they happen.
#[utoipa::path(get, path = "/v1/users/{user}/stream", tag = "users", operation_id = "streamUser",
    params(parameters::User, parameters::LastEventId),
    responses(
        (status = 200, description = "Server-sent events: `task` with a task as `GET …/tasks/{task}` shows it, `reward` with a line as `GET …/rewards` shows it. `id` is a position; sent back as `Last-Event-ID` it resumes without a gap", body = String, content_type = "text/event-stream"),
        (status = 503, description = "Too many streams; try again after `Retry-After`", body = ProblemBody, content_type = "application/problem+json"),
    ))]
pub async fn stream(
    State(state): State<Shared>,
    Extension(caller): Extension<Caller>,
    UserPath(user): UserPath,
    headers: HeaderMap,
) -> Answer<Response> {
    let lane = state.lane_of(&user);
    let resumed = last_event_id(&headers, lane)?;
    // Reads the head first: the subscription reports everything after it.
    let mut connection = state.pool.acquire().await?;
    let head = lanes::head(lane, &mut connection).await?.number;
    let subscription = state.streams.subscribe(lane, &user, head)?;
    // After a restore of the database, the client may have seen positions beyond the head.
    let cursor = resumed.map_or(head, |position| position.number.min(head));
    let sequence = reader::sequence_at(lane, &user, cursor, &mut connection).await?;
    drop(connection);
    let opening = format!("retry: {}\nid: {lane}:{cursor}\n\n", RETRY.as_millis());
    let follow = Follow {
        state,
        user,
        lane,
        sequence,
        subscription,
        waiting: VecDeque::from([Bytes::from(opening)]),
        // Events may have arrived between the reading of the head and the subscription.
        is_behind: true,
        ends_at: expiry(caller.expires_at),
    };
    let body = Body::from_stream(futures::stream::unfold(follow, Follow::next));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Buffering proxies would hold the events back.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// Returns the position after which the client resumes the stream.
fn last_event_id(headers: &HeaderMap, lane: Lane) -> Answer<Option<Position>> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let wrong = |why: String| InputError::parameter("Last-Event-ID", why);
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    if text.is_empty() {
        return Ok(None);
    }
    let position: Position = text.parse().map_err(|e| wrong(format!("{e}")))?;
    if position.lane != lane {
        let why = format!("{position} is in another lane; this user's lane is {lane}");
        return Err(wrong(why).into());
    }
    Ok(Some(position))
}

/// Converts the expiry of the request's token to this process's clock.
fn expiry(expires_at: f64) -> Instant {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let left = (expires_at - now.as_secs_f64()).clamp(0.0, 366.0 * 86_400.0);
    Instant::now() + Duration::from_secs_f64(left)
}

/// One open stream.
struct Follow {
    state: Shared,
    user: UserId,
    lane: Lane,
    /// The sequence of the last event that was handled.
    sequence: i64,
    subscription: Subscription,
    /// Messages that wait to be sent.
    waiting: VecDeque<Bytes>,
    /// True if there may be events after `sequence`.
    is_behind: bool,
    /// The expiry of the token.
    ends_at: Instant,
}

impl Follow {
    /// Returns the next bytes of the stream; `None` ends it, and the client reconnects.
    async fn next(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some((Ok(message), self));
            }
            if self.ends_at <= Instant::now() || self.subscription.is_over() {
                return None;
            }
            if self.is_behind {
                let read = tokio::time::timeout(READ_MAX, self.read()).await;
                let read = read.unwrap_or_else(|_| Err(pool::no_answer(READ_MAX).to_string()));
                if let Err(error) = read {
                    tracing::warn!(%error, "a stream could not read its user; it tries again");
                    tokio::select! {
                        () = tokio::time::sleep(FAILED_PAUSE) => {}
                        () = self.subscription.over() => return None,
                    }
                    self.waiting.push_back(heartbeat());
                }
                continue;
            }
            tokio::select! {
                changed = self.subscription.changed() => {
                    if !changed {
                        return None;
                    }
                    self.is_behind = true;
                }
                () = tokio::time::sleep(HEARTBEAT) => self.waiting.push_back(heartbeat()),
                () = sleep_until(self.ends_at) => return None,
            }
        }
    }

    /// Reads the next page of the user's events and queues its messages.
    async fn read(&mut self) -> Result<(), String> {
        let mut connection = self.state.pool.acquire().await.map_err(|e| e.to_string())?;
        let page =
            reader::user_page(self.lane, &self.user, self.sequence, PAGE, &mut connection).await;
        let page = page.map_err(|error| error.to_string())?;
        drop(connection);
        let Some(last) = page.last() else {
            self.is_behind = false;
            return Ok(());
        };
        let (sequence, position) = match last {
            Ok(recorded) => (recorded.sequence, recorded.position),
            Err(row) => (row.sequence, row.position),
        };
        let messages = messages::of(&self.state, &self.user, &page, position).await?;
        self.sequence = sequence;
        self.is_behind = i64::try_from(page.len()).is_ok_and(|count| count >= PAGE);
        self.waiting.extend(messages);
        Ok(())
    }
}

/// A comment line, which clients ignore.
fn heartbeat() -> Bytes {
    Bytes::from_static(b": still here\n\n")
}
