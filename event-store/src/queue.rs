//! Work waits by lane, and small concurrent commands share a commit.
//!
//! A worker takes the lanes with the most waiting work that no other worker has, and fills a transaction
//! with them: under backlog few lanes with many items each, which touch neighbouring rows; when little
//! waits, all of it. A lane that somebody outside of this process holds is passed over, so it delays its own
//! users only, and is tried again a moment later.

mod lane_work;
mod standing;
mod submission;
mod weight;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use plaudit_domain::lane::{Lane, LaneCount};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::batch::{Applied, Batch, Item, Origin};
use crate::catalogue_store::CatalogueStore;
use crate::clock::Clock;
use crate::error::ExecuteError;
use crate::executor::Executor;
use lane_work::{Entry, LaneWork, Taken, Ticket};
pub use standing::BusyLane;
use standing::Failing;
pub use submission::Submission;
use weight::weight_of;

/// The most items of one transaction. More would only make its users wait for each other.
const ITEMS_MAX: usize = 1_500;

/// The most that the items of one transaction may weigh together. It bounds what is loaded, as the executor bounds
/// the events.
const WEIGHT_MAX: usize = 10_000;

/// The most items of backfills in one transaction: live work of a lane waits for no more than these.
const BACKGROUND_ITEMS_MAX: usize = 250;

/// A queue of work for all lanes. Cheap to clone; its workers end when the last clone is dropped and what
/// was submitted is answered.
#[derive(Clone)]
pub struct CommandQueue {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    executor: Arc<Executor>,
    lanes: Mutex<Lanes>,
    /// `None` while batches can be written, as far as is known.
    failing: Mutex<Option<Failing>>,
    /// Work came in, or a lane became free.
    changed: Notify,
}

struct Lanes {
    /// By the lane's number.
    work: Vec<LaneWork>,
    closed: bool,
    /// A worker applies something for backfills. No second one does, so that one is always free for live work.
    in_background: bool,
}

impl CommandQueue {
    /// Starts a queue with so many workers, each of which needs a connection. About one per core.
    pub fn start(executor: Arc<Executor>, workers: usize) -> Self {
        let count = usize::from(executor.lane_count().get());
        let work = (0..count).map(|_| LaneWork::default()).collect();
        let lanes = Mutex::new(Lanes { work, closed: false, in_background: false });
        let failing = Mutex::default();
        let shared = Arc::new(Shared { executor, lanes, failing, changed: Notify::new() });
        for _ in 0..workers.max(1) {
            tokio::spawn(run_worker(Arc::clone(&shared)));
        }
        tokio::spawn(standing::watch(Arc::downgrade(&shared)));
        Self { handle: Arc::new(Handle { shared }) }
    }

    /// Puts items into their lanes' queues, now and in order, and answers all of them once they are applied.
    ///
    /// Items that came from Kafka are tried until they are applied, whatever happens to the database, so
    /// that no later record of their lane overtakes them. Others fail with the database. If the answer is
    /// dropped, items of requests that no worker has taken yet are forgotten.
    pub fn submit(&self, items: Vec<Item>) -> Submission {
        self.submit_with((), items)
    }

    /// As [`Self::submit`]. Keeps `held`, such as a share of a bound on memory, for as long as any of the items
    /// is there: until the last one is answered or forgotten.
    pub fn submit_with(&self, held: impl Send + 'static, items: Vec<Item>) -> Submission {
        let shared = &self.handle.shared;
        let (slots, submission) = submission::begin(items.len(), held);
        let catalogue = shared.executor.catalogue().current();
        let submitted_at = Instant::now();
        let entries = items.into_iter().zip(slots).map(|(item, slot)| {
            let weight = weight_of(&item.work, &catalogue);
            let ticket = Ticket { slot, weight, submitted_at };
            Entry { item, ticket }
        });
        let mut lanes = shared.lanes();
        for entry in entries {
            lanes.of(entry.item.lane).push(entry);
        }
        drop(lanes);
        shared.changed.notify_one();
        submission
    }

    /// The clock of this process.
    pub fn clock(&self) -> Clock {
        self.handle.shared.executor.clock()
    }

    /// The catalogue by which actions are judged, as this process last saw it.
    pub fn catalogue(&self) -> &Arc<CatalogueStore> {
        self.handle.shared.executor.catalogue()
    }

    /// How many lanes the database has.
    pub fn lane_count(&self) -> LaneCount {
        self.handle.shared.executor.lane_count()
    }

    /// How many items wait or are being applied.
    pub fn waiting(&self) -> usize {
        self.handle.shared.lanes().work.iter().map(LaneWork::len).sum()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lanes().closed = true;
        self.shared.changed.notify_waiters();
        self.shared.changed.notify_one();
    }
}

impl Lanes {
    fn of(&mut self, lane: Lane) -> &mut LaneWork {
        let index = usize::try_from(lane.0).unwrap_or(0) % self.work.len();
        &mut self.work[index]
    }

    /// Takes work for a transaction out of the lanes that are free, those with the most of it first.
    fn take(&mut self, now: Instant) -> Taken {
        let mut free: Vec<usize> =
            (0..self.work.len()).filter(|at| self.work[*at].is_ready(now)).collect();
        free.sort_by_key(|at| std::cmp::Reverse(self.work[*at].len()));
        let mut taken = Taken::default();
        for at in free {
            if taken.is_full(ITEMS_MAX, WEIGHT_MAX) {
                break;
            }
            self.work[at].take(&mut taken, ITEMS_MAX, WEIGHT_MAX);
        }
        if taken.is_empty() { self.take_in_background(now) } else { taken }
    }

    /// Takes work of backfills, while no lane has any other that could be taken.
    fn take_in_background(&mut self, now: Instant) -> Taken {
        let mut taken = Taken::in_background();
        if self.in_background {
            return taken;
        }
        for work in self.work.iter_mut().filter(|work| work.is_ready_in_background(now)) {
            if taken.is_full(BACKGROUND_ITEMS_MAX, WEIGHT_MAX) {
                break;
            }
            work.take(&mut taken, BACKGROUND_ITEMS_MAX, WEIGHT_MAX);
        }
        self.in_background = !taken.is_empty();
        taken
    }

    /// When the first lane that rests may be tried again.
    fn earliest(&self) -> Option<Instant> {
        // While one worker applies something for backfills, no other is to try.
        let background = !self.in_background;
        self.work.iter().filter_map(|work| work.rests_until(background)).min()
    }
}

impl Shared {
    /// Held for as long as it takes to move entries, never over an await.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work. `None`: there is none, and there will be none.
    async fn next(&self) -> Option<Taken> {
        loop {
            let changed = self.changed.notified();
            let earliest = {
                let mut lanes = self.lanes();
                let taken = lanes.take(Instant::now());
                if !taken.is_empty() {
                    if lanes.work.iter().any(|work| work.is_ready(Instant::now())) {
                        self.changed.notify_one();
                    }
                    return Some(taken);
                }
                if lanes.closed && lanes.work.iter().all(LaneWork::is_empty) {
                    return None;
                }
                lanes.earliest()
            };
            match earliest {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
                None => changed.await,
            }
        }
    }

    /// Applies what was taken, passing over lanes that somebody else holds.
    async fn apply(&self, mut taken: Taken) {
        let in_background = taken.in_background;
        while !taken.is_empty() {
            let (items, tickets) = taken.into_parts();
            let batch = Batch { items, checkpoints: vec![] };
            let execute = AssertUnwindSafe(self.executor.execute_if_free(&batch)).catch_unwind();
            let (applied, ended) = execute
                .await
                .unwrap_or_else(|panic| (vec![], Err(ExecuteError::panicked(&*panic, None))));
            if !applied.is_empty() {
                *self.failing() = None;
            }
            let entries = batch.items.into_iter().zip(tickets);
            let mut left: Vec<Entry> = self.answer(entries, applied);
            taken = Taken::default();
            match ended {
                Ok(()) => debug_assert!(left.is_empty(), "all items are answered"),
                Err(ExecuteError::LanesBusy(busy)) => {
                    let rest = left.extract_if(.., |entry| !busy.contains(&entry.item.lane));
                    taken.extend(rest.collect());
                    self.put_back(left, LaneWork::rest_busy);
                }
                Err(error) => self.fail(left, error),
            }
        }
        if in_background {
            self.lanes().in_background = false;
            self.changed.notify_one();
        }
    }

    /// Sets the lanes of the applied items free where nothing is left of them, then answers these items, and
    /// returns the others. Who is answered finds the lane free.
    fn answer(
        &self,
        entries: impl Iterator<Item = (Item, Ticket)>,
        applied: Vec<Applied>,
    ) -> Vec<Entry> {
        let mut entries: Vec<_> = entries.collect();
        let left = entries.split_off(applied.len().min(entries.len()));
        let mut lanes = self.lanes();
        let is_left = |lane: Lane| left.iter().any(|(item, _)| item.lane == lane);
        let done: BTreeSet<Lane> = entries.iter().map(|(item, _)| item.lane).collect();
        for lane in done {
            lanes.of(lane).note_free();
            if !is_left(lane) {
                lanes.of(lane).set_free();
            }
        }
        drop(lanes);
        for ((_, ticket), applied) in entries.into_iter().zip(applied) {
            ticket.slot.answer(applied);
        }
        self.changed.notify_one();
        left.into_iter().map(|(item, ticket)| Entry { item, ticket }).collect()
    }

    /// The database is not available, or can't be read: requests are told, records wait.
    fn fail(&self, mut left: Vec<Entry>, error: ExecuteError) {
        metrics::counter!("plaudit_batch_failures_total").increment(1);
        tracing::warn!(%error, "a batch could not be applied; records are tried again, requests get an error");
        if error.is_about_all_writes() {
            Failing::note(&mut self.failing(), &error, Instant::now());
        }
        let error = Arc::new(error);
        let is_request = |entry: &mut Entry| !matches!(entry.item.origin, Origin::Record(_));
        let lanes: BTreeSet<Lane> = left.iter().map(|entry| entry.item.lane).collect();
        let requests: Vec<Entry> = left.extract_if(.., is_request).collect();
        self.put_back(left, LaneWork::rest_failed);
        let mut all = self.lanes();
        for lane in lanes {
            all.of(lane).set_free();
        }
        drop(all);
        for request in requests {
            request.ticket.slot.fail(&error);
        }
        self.changed.notify_one();
    }

    fn put_back(&self, entries: Vec<Entry>, rest: impl Fn(&mut LaneWork, Instant)) {
        let now = Instant::now();
        let mut lanes = self.lanes();
        let mut resting = BTreeSet::new();
        for entry in entries.into_iter().rev() {
            resting.insert(entry.item.lane);
            lanes.of(entry.item.lane).put_back(entry);
        }
        for lane in resting {
            rest(lanes.of(lane), now);
        }
    }
}

async fn run_worker(shared: Arc<Shared>) {
    while let Some(taken) = shared.next().await {
        shared.apply(taken).await;
    }
    // The others find nothing either.
    shared.changed.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Work;

    /// The rest of a batch goes into the next one, which is bounded by weight.
    #[tokio::test]
    async fn what_a_batch_leaves_keeps_its_weight() {
        let pool = crate::pool::connect("postgres://nobody@127.0.0.1:9/none", 1).unwrap();
        let count = LaneCount::try_from(4).unwrap();
        let executor = Executor::new(pool, count, Arc::default(), vec![]);
        let queue = CommandQueue::start(Arc::new(executor), 1);
        let (mut slots, _submission) = submission::begin(2, ());
        let mut entry = |weight| {
            let item = Item {
                lane: Lane(1),
                work: Work::SettleBackfills,
                origin: Origin::Request(uuid::Uuid::from_u128(1)),
            };
            (item, Ticket { slot: slots.remove(0), weight, submitted_at: Instant::now() })
        };
        let entries = [entry(3), entry(700)];
        let left = queue.handle.shared.answer(entries.into_iter(), vec![]);
        let weights: Vec<usize> = left.iter().map(|entry| entry.ticket.weight).collect();
        assert_eq!(weights, [3, 700]);
    }
}
