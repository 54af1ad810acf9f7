//! The queue of work by lane, in which small concurrent commands share a commit.
//!
//! A worker takes the lanes with the most waiting work that no other worker has, and fills a
//! transaction with them. Under backlog these are few lanes with many items each, which touch
//! neighbouring rows; with little backlog, all waiting work. A lane held by another process is
//! skipped and retried a moment later, so it delays only its own users.

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

/// The maximum number of items per transaction. More would only make its users wait for each other.
const ITEMS_MAX: usize = 1_500;

/// The maximum total weight of the items of one transaction. It bounds the rows loaded, as the
/// executor bounds the events.
const WEIGHT_MAX: usize = 10_000;

/// The maximum number of backfill items per transaction: live work of a lane waits for no more than
/// these.
const BACKGROUND_ITEMS_MAX: usize = 250;

/// A queue of work for all lanes. Cheap to clone. Its workers end when the last clone is dropped
/// and all submitted work is answered.
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
    /// `None` as long as batches can be written, as far as is known.
    failing: Mutex<Option<Failing>>,
    /// Notified when work arrives or a lane becomes free.
    changed: Notify,
}

struct Lanes {
    /// Indexed by lane number.
    work: Vec<LaneWork>,
    closed: bool,
    /// True while a worker applies work of backfills. Only one does so at a time, so that another
    /// stays free for live work.
    in_background: bool,
}

impl CommandQueue {
    /// Starts a queue with this number of workers, about one per core. Each needs a connection.
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

    /// Puts items into their lanes' queues, in order, and returns one answer for all of them.
    ///
    /// Items from Kafka are retried until they are applied, whatever happens to the database, so
    /// that no later record of their lane overtakes them. Other items fail if the database does,
    /// and are discarded if the answer is dropped before a worker takes them.
    pub fn submit(&self, items: Vec<Item>) -> Submission {
        self.submit_with((), items)
    }

    /// Like [`Self::submit`]. Keeps `held`, such as a permit for memory, until the last item is
    /// answered or discarded.
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

    /// The catalogue store of this process, for the rules in force.
    pub fn catalogue(&self) -> &Arc<CatalogueStore> {
        self.handle.shared.executor.catalogue()
    }

    /// The number of lanes of the database.
    pub fn lane_count(&self) -> LaneCount {
        self.handle.shared.executor.lane_count()
    }

    /// The number of items that wait or are being applied. Waiting items of backfills do not count.
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

    /// Takes work for one transaction from the free lanes, those with the most work first.
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

    /// Takes work of backfills, which only happens while no lane has other work ready.
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

    /// The earliest time at which a resting lane may be retried.
    fn earliest(&self) -> Option<Instant> {
        // While one worker applies work of backfills, no other may.
        let background = !self.in_background;
        self.work.iter().filter_map(|work| work.rests_until(background)).min()
    }
}

impl Shared {
    /// Locks the lanes. Held only while entries are moved, never across an await.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work. `None`: the queue is closed and empty.
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

    /// Applies the taken work, skipping lanes that another session holds.
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
                Err(ExecuteError::LanesBusy(contention)) => {
                    let rest = left.extract_if(.., |entry| !contention.delays(entry.item.lane));
                    taken.extend(rest.collect());
                    self.put_back(left, |lane, work, now| work.rest_busy(&contention, lane, now));
                }
                Err(error) => self.fail(left, error),
            }
        }
        if in_background {
            self.lanes().in_background = false;
            self.changed.notify_one();
        }
    }

    /// Frees the lanes of applied items of which nothing is left, then answers these items. In this
    /// order, so that the receiver of an answer finds the lane free. Returns the remaining entries.
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

    /// Handles a failed batch: items from Kafka go back into the queue, all others get the error.
    fn fail(&self, mut left: Vec<Entry>, error: ExecuteError) {
        metrics::counter!("plaudit_batch_failures_total").increment(1);
        tracing::warn!(%error, "a batch could not be applied; records are tried again, requests get an error");
        if error.is_about_all_writes() {
            Failing::note(&mut self.failing(), &error, Instant::now());
        }
        let error = Arc::new(error);
        let is_retried = |entry: &Entry| matches!(entry.item.origin, Origin::Record(_));
        let lanes: BTreeSet<Lane> = left.iter().map(|entry| entry.item.lane).collect();
        let failed: Vec<Entry> = left.extract_if(.., |entry| !is_retried(entry)).collect();
        self.put_back(left, |_, work, now| work.rest_failed(now));
        let mut all = self.lanes();
        for lane in lanes {
            all.of(lane).set_free();
        }
        drop(all);
        for entry in failed {
            entry.ticket.slot.fail(&error);
        }
        self.changed.notify_one();
    }

    fn put_back(&self, entries: Vec<Entry>, rest: impl Fn(Lane, &mut LaneWork, Instant)) {
        let now = Instant::now();
        let mut lanes = self.lanes();
        let mut resting = BTreeSet::new();
        for entry in entries.into_iter().rev() {
            resting.insert(entry.item.lane);
            lanes.of(entry.item.lane).put_back(entry);
        }
        for lane in resting {
            rest(lane, lanes.of(lane), now);
        }
    }
}

async fn run_worker(shared: Arc<Shared>) {
    while let Some(taken) = shared.next().await {
        shared.apply(taken).await;
    }
    // Wakes the next worker, which finds the queue closed too.
    shared.changed.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Work;

    /// The rest of a batch goes into the next one, whose weight is bounded.
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
