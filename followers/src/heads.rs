//! The watch of the heads, one per process: a single task reads them while anybody waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use plaudit_domain::lane::{Lane, Position};
use plaudit_event_store::lanes;
use plaudit_event_store::pool::{self, Borrowed};
use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::bounded::{CALL_MAX, within};

/// Interval between reads while a reader waits for a position.
const READER_PACE: Duration = Duration::from_millis(5);

/// Pause after a failed read.
const FAILED_PAUSE: Duration = Duration::from_millis(250);

/// The head of every lane at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heads(Arc<BTreeMap<Lane, i64>>);

impl Heads {
    /// The head of a lane; 0 for one that is empty or unknown.
    pub fn of(&self, lane: Lane) -> i64 {
        self.0.get(&lane).copied().unwrap_or(0)
    }
}

/// Error of a wait for a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotReached {
    /// The log has not reached the position by the deadline.
    #[error("the log has not reached position {0} yet")]
    Behind(Position),
    /// The heads could not be read.
    #[error("the database is not available: {0}")]
    Unavailable(String),
}

/// Watches the heads of all lanes for all waiters of this process.
///
/// It reads nothing while nobody waits. Waiters never read by themselves, so a thousand of them
/// cost as much as one.
pub struct HeadWatch {
    pool: PgPool,
    /// The intervals that waiters asked for, each with their number.
    paces: Mutex<BTreeMap<Duration, usize>>,
    pace_changed: Notify,
    latest: watch::Sender<Reading>,
}

#[derive(Debug, Clone, Default)]
struct Reading {
    heads: Heads,
    /// Error of the last read; `heads` are then those of an earlier read.
    failure: Option<String>,
}

impl HeadWatch {
    /// Starts the task that reads, on a connection of its own to the database of `pool`. It ends
    /// when `stop` is cancelled.
    pub fn start(pool: &PgPool, stop: CancellationToken) -> Arc<Self> {
        let watch = Arc::new(Self {
            pool: pool::reserved(pool, 1),
            paces: Mutex::default(),
            pace_changed: Notify::new(),
            latest: watch::Sender::default(),
        });
        let reading = Arc::clone(&watch);
        tokio::spawn(async move { stop.run_until_cancelled(reading.read_on()).await });
        watch
    }

    /// The heads as last read. They are old if nobody has waited for a while.
    pub fn heads(&self) -> Heads {
        self.latest.borrow().heads.clone()
    }

    /// Returns once the log holds `position`.
    pub async fn wait_for(&self, position: Position, deadline: Instant) -> Result<(), NotReached> {
        let mut latest = self.latest.subscribe();
        if latest.borrow_and_update().heads.of(position.lane) >= position.number {
            return Ok(());
        }
        let _interest = self.interest(READER_PACE);
        loop {
            let changed = timeout_at(deadline, latest.changed()).await;
            let reading = latest.borrow_and_update();
            if reading.heads.of(position.lane) >= position.number {
                return Ok(());
            }
            if !matches!(changed, Ok(Ok(()))) {
                return Err(match &reading.failure {
                    Some(reason) => NotReached::Unavailable(reason.clone()),
                    None => NotReached::Behind(position),
                });
            }
        }
    }

    /// Returns the heads as soon as they differ from `known`, read about every `pace`; at the
    /// deadline, whether they differ or not. Fails if they can't be read.
    pub async fn changed_from(
        &self,
        known: &Heads,
        pace: Duration,
        deadline: Instant,
    ) -> Result<Heads, NotReached> {
        let mut latest = self.latest.subscribe();
        {
            let reading = latest.borrow_and_update();
            if reading.heads != *known && reading.failure.is_none() {
                return Ok(reading.heads.clone());
            }
        }
        let _interest = self.interest(pace);
        loop {
            let changed = timeout_at(deadline, latest.changed()).await;
            let reading = latest.borrow_and_update();
            if let Some(reason) = &reading.failure {
                return Err(NotReached::Unavailable(reason.clone()));
            }
            if reading.heads != *known || !matches!(changed, Ok(Ok(()))) {
                return Ok(reading.heads.clone());
            }
        }
    }

    /// Reads while anybody waits, at the shortest of the requested intervals.
    async fn read_on(&self) {
        let mut read_at: Option<Instant> = None;
        // Kept while a reader waits: taking one from the pool costs more than the read.
        let mut connection: Option<Borrowed> = None;
        loop {
            let pace = self.paces().first_key_value().map(|(pace, _)| *pace);
            let due = match (pace, read_at) {
                (None, _) => None,
                (Some(_), None) => Some(Instant::now()),
                (Some(pace), Some(read_at)) => Some(read_at + pace),
            };
            match due {
                None => {
                    if let Some(unused) = connection.take() {
                        unused.give_back();
                    }
                    self.pace_changed.notified().await;
                }
                Some(due) if due > Instant::now() => tokio::select! {
                    () = sleep_until(due) => {}
                    () = self.pace_changed.notified() => {}
                },
                Some(_) => {
                    read_at = Some(Instant::now());
                    connection = self.read_once(connection.take()).await;
                }
            }
        }
    }

    /// Returns the connection for the next read; `None` if it was closed after an error.
    async fn read_once(&self, kept: Option<Borrowed>) -> Option<Borrowed> {
        let call = async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => Borrowed::from(&self.pool).await?,
            };
            let heads = lanes::heads(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, heads))
        };
        match within(CALL_MAX, call).await {
            Ok((connection, heads)) => {
                let heads = heads.into_iter().map(|head| (head.lane, head.number)).collect();
                self.latest.send_replace(Reading { heads: Heads(Arc::new(heads)), failure: None });
                Some(connection)
            }
            Err(error) => {
                self.latest.send_modify(|reading| reading.failure = Some(error.to_string()));
                tokio::time::sleep(FAILED_PAUSE).await;
                None
            }
        }
    }

    /// Keeps the watch reading until the returned value is dropped.
    fn interest(&self, pace: Duration) -> Interest<'_> {
        *self.paces().entry(pace).or_default() += 1;
        self.pace_changed.notify_one();
        Interest { watch: self, pace }
    }

    fn paces(&self) -> MutexGuard<'_, BTreeMap<Duration, usize>> {
        self.paces.lock().expect("nothing panics while it holds the lock")
    }
}

struct Interest<'w> {
    watch: &'w HeadWatch,
    pace: Duration,
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        let mut paces = self.watch.paces();
        if let Some(count) = paces.get_mut(&self.pace) {
            *count -= 1;
            if *count == 0 {
                paces.remove(&self.pace);
            }
        }
    }
}

#[cfg(test)]
impl<const N: usize> From<[(Lane, i64); N]> for Heads {
    fn from(heads: [(Lane, i64); N]) -> Self {
        Self(Arc::new(heads.into()))
    }
}
