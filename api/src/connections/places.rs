//! The fixed number of places for connections.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::activity::{Activity, BODY_GRACE};

/// Time limit for an evicted connection to give up its place.
const EVICTION_MAX: Duration = Duration::from_secs(1);

/// The places of a server, free and taken.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<u64, Arc<Activity>>>>,
    next_id: AtomicU64,
}

/// A taken place; it becomes free when this is dropped.
#[derive(Debug)]
pub struct Place {
    activity: Arc<Activity>,
    id: u64,
    taken: Arc<Mutex<HashMap<u64, Arc<Activity>>>>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// Creates `count` free places.
    pub fn new(count: usize) -> Self {
        let free = Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self { free, taken: Arc::default(), next_id: AtomicU64::new(0) }
    }

    /// Takes a free place, or else that of the connection that has waited longest for its client,
    /// so that clients that send nothing, half a head or no body lock nobody out. `None` if all
    /// connections are busy.
    pub async fn take(&self) -> Option<Place> {
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.next_evictable().await?.evict();
                let given_up = tokio::time::timeout(EVICTION_MAX, free.acquire_owned()).await;
                given_up.ok()?.ok()?
            }
        };
        let (id, activity) =
            (self.next_id.fetch_add(1, Ordering::Relaxed), Arc::new(Activity::new()));
        locked(&self.taken).insert(id, Arc::clone(&activity));
        metrics::gauge!("plaudit_http_connections").increment(1.0);
        Some(Place { activity, id, taken: Arc::clone(&self.taken), _permit: permit })
    }

    /// Returns the connection that has waited longest for its client. If that one still has some of
    /// its [`BODY_GRACE`] left, waits for the grace to end and looks again, because it may send its
    /// body meanwhile.
    async fn next_evictable(&self) -> Option<Arc<Activity>> {
        let until = Instant::now() + 2 * BODY_GRACE;
        loop {
            let (evictable_at, longest_waiting) = self.longest_waiting()?;
            if evictable_at <= Instant::now() {
                return Some(longest_waiting);
            }
            if evictable_at > until {
                return None;
            }
            sleep_until(evictable_at).await;
        }
    }

    fn longest_waiting(&self) -> Option<(Instant, Arc<Activity>)> {
        let taken = locked(&self.taken);
        let waiting = taken.values().filter_map(|one| Some((one.evictable_at()?, one)));
        waiting.min_by_key(|(at, _)| *at).map(|(at, one)| (at, Arc::clone(one)))
    }
}

impl Place {
    /// Returns the activity of the connection at this place.
    pub fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.taken).remove(&self.id);
        metrics::gauge!("plaudit_http_connections").decrement(1.0);
    }
}

/// Locks for one lookup. Never hold the lock over an await.
fn locked<T>(map: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}
