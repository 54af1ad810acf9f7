//! Finds users with new events in one task per process, for all its streams together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::reader;
use plaudit_followers::{HeadWatch, Heads};
use sqlx::PgPool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::problem::{Answer, Problem};

/// Limit on the open streams of a process. They also take at most half of the connections, so that
/// other requests find one.
const STREAMS_MAX: usize = 1_000;

/// Limit on the open streams of one user, so that nobody takes them all.
const STREAMS_OF_USER_MAX: usize = 20;

/// Interval between reads of the heads while a stream is open.
const PACE: Duration = Duration::from_millis(100);

/// The longest wait for new events before the task checks whether any stream is still open.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Time limit for finding the users with new events.
const CALL_MAX: Duration = Duration::from_secs(3);

/// The pause of the task after a failure.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// The streams of a process. Cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Hub>);

struct Hub {
    slots: Arc<Semaphore>,
    lanes: Mutex<BTreeMap<Lane, WatchedLane>>,
    opened: Notify,
    stop: CancellationToken,
}

/// A lane with open streams.
struct WatchedLane {
    /// The position up to which the lane's log has been searched.
    looked_at: i64,
    /// By user: the position of the latest event that was found.
    users: HashMap<String, watch::Sender<i64>>,
}

/// The place of a stream, returned when it is dropped.
pub struct Subscription {
    news: watch::Receiver<i64>,
    hub: Arc<Hub>,
    lane: Lane,
    user: UserId,
    _slot: OwnedSemaphorePermit,
}

impl Streams {
    /// Starts the task that finds new events. All streams end when `stop` is cancelled.
    /// `connections_max` is the limit on the connections of the process.
    pub fn start(
        pool: &PgPool,
        connections_max: usize,
        heads: Arc<HeadWatch>,
        stop: CancellationToken,
    ) -> Self {
        let streams_max = (connections_max / 2).clamp(1, STREAMS_MAX);
        let hub = Arc::new(Hub {
            slots: Arc::new(Semaphore::new(streams_max)),
            lanes: Mutex::default(),
            opened: Notify::new(),
            stop: stop.clone(),
        });
        let (looking, database) = (Arc::clone(&hub), Deadlined::new(pool, CALL_MAX));
        tokio::spawn(async move { stop.run_until_cancelled(looking.look(database, heads)).await });
        Self(hub)
    }

    /// Takes a place for a stream that has seen the lane up to `head`.
    pub(super) fn subscribe(&self, lane: Lane, user: &UserId, head: i64) -> Answer<Subscription> {
        const FULL: Problem = Problem::Unavailable("too many streams are open");
        let hub = Arc::clone(&self.0);
        let slot = Arc::clone(&hub.slots).try_acquire_owned().map_err(|_| FULL)?;
        let mut lanes = hub.lanes();
        let watched = lanes
            .entry(lane)
            .or_insert_with(|| WatchedLane { looked_at: head, users: HashMap::new() });
        let sender =
            watched.users.entry(user.to_string()).or_insert_with(|| watch::Sender::new(head));
        if sender.receiver_count() >= STREAMS_OF_USER_MAX {
            return Err(FULL);
        }
        let news = sender.subscribe();
        drop(lanes);
        hub.opened.notify_one();
        Ok(Subscription { news, hub, lane, user: user.clone(), _slot: slot })
    }
}

impl Subscription {
    /// Returns `true` once the user has new events, `false` when the process stops.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.news.changed() => changed.is_ok(),
            () = self.hub.stop.cancelled() => false,
        }
    }

    /// True if the process is stopping.
    pub fn is_over(&self) -> bool {
        self.hub.stop.is_cancelled()
    }

    /// Returns when the process stops.
    pub async fn over(&self) {
        self.hub.stop.cancelled().await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut lanes = self.hub.lanes();
        let Some(watched) = lanes.get_mut(&self.lane) else { return };
        // The receiver of this subscription is dropped only after this, and still counts.
        if watched.users.get(self.user.as_str()).is_some_and(|sender| sender.receiver_count() <= 1)
        {
            watched.users.remove(self.user.as_str());
        }
        if watched.users.is_empty() {
            lanes.remove(&self.lane);
        }
    }
}

impl Hub {
    /// Locks the lanes, to look up users. Never hold the lock over an await.
    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Lane, WatchedLane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(self: Arc<Self>, database: Deadlined, heads: Arc<HeadWatch>) {
        let mut known = Heads::default();
        loop {
            if self.lanes().is_empty() {
                self.opened.notified().await;
                continue;
            }
            let read = heads.changed_from(&known, PACE, Instant::now() + LOOK_MAX).await;
            let woken = match read {
                Ok(read) => {
                    known = read;
                    self.wake(&known, &database).await
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = woken {
                tracing::debug!(%error, "streams could not look for news");
                tokio::time::sleep(FAILED_PAUSE).await;
            }
        }
    }

    /// Finds the users with new events and wakes their streams.
    async fn wake(&self, heads: &Heads, database: &Deadlined) -> Result<(), String> {
        let spans: Vec<(Lane, i64, i64)> = self
            .lanes()
            .iter()
            .map(|(lane, watched)| (*lane, watched.looked_at, heads.of(*lane)))
            .filter(|(_, after, head)| head > after)
            .collect();
        if spans.is_empty() {
            return Ok(());
        }
        let in_spans = spans.as_slice();
        let find = |pool: PgPool| async move {
            let mut connection = pool.acquire().await?;
            reader::users_between(in_spans, &mut connection).await
        };
        let found = database.call(find).await.map_err(|error| error.to_string())?;
        let mut lanes = self.lanes();
        for (lane, user, position) in found {
            let sender = lanes.get(&lane).and_then(|watched| watched.users.get(&user));
            if let Some(sender) = sender {
                sender.send_replace(position);
            }
        }
        for (lane, _, head) in spans {
            if let Some(watched) = lanes.get_mut(&lane) {
                watched.looked_at = watched.looked_at.max(head);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_take_half_of_the_connections_at_most() {
        let pool =
            plaudit_event_store::pool::connect("postgres://nobody@127.0.0.1:9/none", 1).unwrap();
        let stop = CancellationToken::new();
        let opened = |connections_max| {
            let heads = HeadWatch::start(&pool, stop.clone());
            let streams = Streams::start(&pool, connections_max, heads, stop.clone());
            let open = |n: usize| {
                let user: UserId = format!("u{n}").parse().unwrap();
                streams.subscribe(Lane(0), &user, 0).ok()
            };
            let open: Vec<_> = (0..STREAMS_MAX + 1).map_while(open).collect();
            open.len()
        };
        assert_eq!((opened(7), opened(1), opened(100_000)), (3, 1, STREAMS_MAX));
        stop.cancel();
    }
}
