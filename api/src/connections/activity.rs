//! The phase of a connection and the time since its start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::ConnectionLimits;

/// Interval between checks of the limits.
const TICK: Duration = Duration::from_secs(1);

/// Time limit for a partial head once the process is stopping.
const HEAD_WHEN_STOPPING: Duration = Duration::from_secs(1);

/// The activity of a connection: its phase, and the input due from its client.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<State>,
    evict: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// The time since which the client has read nothing of its answer.
    blocked_since: Option<Instant>,
    /// The wait for more of the request's body; `None` if none is awaited.
    body: Option<BodyWait>,
}

/// A wait for bytes of a body.
#[derive(Debug)]
struct BodyWait {
    since: Instant,
    /// Bytes received since; only [`BODY_PROGRESS_BYTES`] or more end the wait.
    bytes: usize,
}

/// A client must send this many bytes of a body within [`BODY_GRACE`], or another connection may
/// take its place.
const BODY_PROGRESS_BYTES: usize = 4 * 1024;
/// The time for [`BODY_PROGRESS_BYTES`]; together they demand 16 KiB/s.
pub const BODY_GRACE: Duration = Duration::from_millis(250);

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The head of a request is awaited or incomplete.
    Head,
    /// A request is being read or answered.
    Busy,
    /// The connection is silent between two requests.
    Idle,
}

impl Activity {
    /// Starts in [`Phase::Head`]: a new connection must send its first request.
    pub fn new() -> Self {
        let (phase, since) = (Phase::Head, Instant::now());
        let state = State { phase, since, blocked_since: None, body: None };
        Self { state: Mutex::new(state), evict: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.since) = (phase, Instant::now());
    }

    /// Returns the present phase.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Records that the client has sent bytes. Between requests they begin the next one.
    pub fn received(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Records whether writing is blocked because the client does not read.
    pub fn writing(&self, is_blocked: bool) {
        let mut state = self.state();
        match (is_blocked, state.blocked_since) {
            (true, None) => state.blocked_since = Some(Instant::now()),
            (false, Some(_)) => state.blocked_since = None,
            _ => {}
        }
    }

    /// Records that the reader of the request's body waits for bytes.
    pub fn body_awaited(&self) {
        self.state().body.get_or_insert_with(|| BodyWait { since: Instant::now(), bytes: 0 });
    }

    /// Records that bytes of the request's body have arrived.
    pub fn body_received(&self, count: usize) {
        let mut state = self.state();
        if let Some(wait) = &mut state.body {
            wait.bytes += count;
            if wait.bytes >= BODY_PROGRESS_BYTES {
                state.body = None;
            }
        }
    }

    /// Records that no more of the request's body is awaited.
    pub fn body_ended(&self) {
        self.state().body = None;
    }

    /// Returns the time since which a request or bytes of a body are due from the client. `None`
    /// while its request is being worked on.
    pub fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Busy => state.body.as_ref().map(|wait| wait.since),
            Phase::Head | Phase::Idle => Some(state.since),
        }
    }

    /// Returns the time from which another connection may take this place. `None` while a request
    /// is being worked on.
    pub fn evictable_at(&self) -> Option<Instant> {
        let since = self.waiting_since()?;
        Some(if self.phase() == Phase::Busy { since + BODY_GRACE } else { since })
    }

    /// Returns when the client exceeds one of the limits.
    pub async fn overdue(&self, limits: &ConnectionLimits, stopping: bool) {
        loop {
            let now = Instant::now();
            let deadline = self.deadline(limits, stopping);
            if deadline.is_some_and(|at| at <= now) {
                return;
            }
            let tick = now + TICK;
            sleep_until(deadline.map_or(tick, |at| at.min(tick))).await;
        }
    }

    fn deadline(&self, limits: &ConnectionLimits, stopping: bool) -> Option<Instant> {
        let state = self.state();
        let head = if stopping { HEAD_WHEN_STOPPING } else { limits.head_timeout };
        let of_phase = match state.phase {
            Phase::Head => Some(state.since + head),
            Phase::Idle => Some(state.since + limits.idle_timeout),
            Phase::Busy => None,
        };
        let of_write = state.blocked_since.map(|since| since + limits.write_timeout);
        [of_phase, of_write].into_iter().flatten().min()
    }

    /// Makes [`Self::evicted`] return.
    pub fn evict(&self) {
        self.evict.notify_one();
    }

    /// Returns once another connection needs the place of this one.
    pub async fn evicted(&self) {
        self.evict.notified().await;
    }
}

/// Marks a connection as busy. Dropped when the answer was sent or abandoned.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Busy {
    /// Enters [`Phase::Busy`], once the head of a request was read.
    pub fn begin(activity: &Arc<Activity>) -> Self {
        activity.body_ended();
        activity.enter(Phase::Busy);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}
