//! The present activity of a connection, and its start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::ConnectionLimits;

/// The interval at which limits are checked.
const TICK: Duration = Duration::from_secs(1);

/// Once the process stops, a head that was begun may still take this long.
const HEAD_WHEN_STOPPING: Duration = Duration::from_secs(1);

/// The present activity of a connection.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<State>,
    evict: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the client has taken nothing of what was to be sent.
    blocked_since: Option<Instant>,
    /// The wait for more of the request's body.
    body: Option<BodyWait>,
}

/// A client owes bytes of a body.
#[derive(Debug)]
struct BodyWait {
    since: Instant,
    /// Bytes received since; a few of them are no progress.
    bytes: usize,
}

/// A client that sends a body owes so many bytes within [`BODY_GRACE`], or its place may be given to another.
const BODY_PROGRESS_BYTES: usize = 4 * 1024;
/// See [`BODY_PROGRESS_BYTES`]: 16 KiB a second.
pub const BODY_GRACE: Duration = Duration::from_millis(250);

/// The phases of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The head of a request is awaited or was begun.
    Head,
    /// A request is being read or answered.
    Busy,
    /// Between two requests.
    Idle,
}

impl Activity {
    /// A new connection owes the head of its first request.
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

    /// The present phase.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Notes that the client has sent something. Between requests, it begins one.
    pub fn received(&self) {
        if self.phase() == Phase::Idle {
            self.enter(Phase::Head);
        }
    }

    /// Notes whether the client takes what is sent.
    pub fn writing(&self, is_blocked: bool) {
        let mut state = self.state();
        match (is_blocked, state.blocked_since) {
            (true, None) => state.blocked_since = Some(Instant::now()),
            (false, Some(_)) => state.blocked_since = None,
            _ => {}
        }
    }

    /// Notes that the request's body has no bytes for who reads it.
    pub fn body_awaited(&self) {
        self.state().body.get_or_insert_with(|| BodyWait { since: Instant::now(), bytes: 0 });
    }

    /// Notes that bytes of the request's body have come.
    pub fn body_received(&self, count: usize) {
        let mut state = self.state();
        if let Some(wait) = &mut state.body {
            wait.bytes += count;
            if wait.bytes >= BODY_PROGRESS_BYTES {
                state.body = None;
            }
        }
    }

    /// Notes that no more of the request's body is wanted.
    pub fn body_ended(&self) {
        self.state().body = None;
    }

    /// Since when the client has owed something: a request, or bytes of a body. `None` while a request is at
    /// work.
    pub fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Busy => state.body.as_ref().map(|wait| wait.since),
            Phase::Head | Phase::Idle => Some(state.since),
        }
    }

    /// From when on another connection may have this place; `None` while a request is at work.
    pub fn evictable_at(&self) -> Option<Instant> {
        let since = self.waiting_since()?;
        Some(if self.phase() == Phase::Busy { since + BODY_GRACE } else { since })
    }

    /// Returns when the client has exceeded one of the limits.
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

    /// Returns when another connection needs the place of this one.
    pub async fn evicted(&self) {
        self.evict.notified().await;
    }
}

/// A request that is being answered. Dropped when the answer was sent or given up.
#[derive(Debug)]
pub struct Busy(Arc<Activity>);

impl Busy {
    /// The head of a request was read.
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
