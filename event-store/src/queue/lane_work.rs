//! The work of one lane: what waits, whether a worker has it, and when it may be tried again. Pure but for the
//! time, which is handed in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::submission::Slot;
use crate::batch::{Item, Origin};
use crate::executor::is_same_record;

/// How long a lane that somebody else holds is left alone, at first and at most.
const BUSY_RESTS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// How long a lane is left alone after the database failed, at first and at most.
const FAILED_RESTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An item, and where its answer goes.
pub(super) struct Entry {
    pub item: Item,
    pub slot: Slot,
    /// How many tasks it may touch.
    pub weight: usize,
}

/// What a worker took for one transaction.
#[derive(Default)]
pub(super) struct Taken {
    entries: Vec<Entry>,
    weight: usize,
    /// It is work of backfills.
    pub in_background: bool,
}

impl Taken {
    /// For work of backfills.
    pub fn in_background() -> Self {
        Self { in_background: true, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn is_full(&self, items_max: usize, weight_max: usize) -> bool {
        self.entries.len() >= items_max || self.weight >= weight_max
    }

    pub fn extend(&mut self, entries: Vec<Entry>) {
        self.weight += entries.iter().map(|entry| entry.weight).sum::<usize>();
        self.entries.extend(entries);
    }

    pub fn into_parts(self) -> (Vec<Item>, Vec<Slot>) {
        self.entries.into_iter().map(|entry| (entry.item, entry.slot)).unzip()
    }
}

/// The work of one lane.
#[derive(Default)]
pub(super) struct LaneWork {
    waiting: VecDeque<Entry>,
    /// Work of backfills, which waits until nothing else does.
    background: VecDeque<Entry>,
    /// A worker has taken some of it, and nobody else may before that is answered.
    in_progress: bool,
    in_progress_count: usize,
    rests: Option<Rest>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    delay: Duration,
    /// Since when somebody else holds the lane; `None` after a failure of the database.
    busy_since: Option<Instant>,
}

impl LaneWork {
    pub fn push(&mut self, entry: Entry) {
        self.queue_of(&entry).push_back(entry);
    }

    fn queue_of(&mut self, entry: &Entry) -> &mut VecDeque<Entry> {
        match entry.item.origin {
            Origin::Backfill { .. } => &mut self.background,
            _ => &mut self.waiting,
        }
    }

    /// Tells whether nothing waits or is being applied, for backfills neither.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.background.is_empty()
    }

    /// How many items wait or are being applied.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.in_progress_count
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.is_free(now) && !self.waiting.is_empty()
    }

    /// Tells whether there is something to do for backfills.
    pub fn is_ready_in_background(&self, now: Instant) -> bool {
        self.is_free(now) && !self.background.is_empty()
    }

    fn is_free(&self, now: Instant) -> bool {
        !self.in_progress && self.rests.is_none_or(|rest| now >= rest.until)
    }

    /// The time at which it may be tried again; with `background`, also if only a backfill has something for it.
    pub fn rests_until(&self, background: bool) -> Option<Instant> {
        let waits = !self.waiting.is_empty() || (background && !self.background.is_empty());
        let waits = waits && !self.in_progress;
        self.rests.filter(|_| waits).map(|rest| rest.until)
    }

    pub fn busy_since(&self) -> Option<Instant> {
        self.rests.and_then(|rest| rest.busy_since)
    }

    /// Moves work into `taken`, in order, until that is full. What one record means is not parted, and what
    /// nobody waits for any more is left out.
    pub fn take(&mut self, taken: &mut Taken, items_max: usize, weight_max: usize) {
        let before = taken.entries.len();
        let queue = if taken.in_background { &mut self.background } else { &mut self.waiting };
        while let Some(next) = queue.front() {
            let of_last =
                taken.entries.last().is_some_and(|last| is_same_record(&last.item, &next.item));
            if taken.is_full(items_max, weight_max) && !of_last {
                break;
            }
            let Some(next) = queue.pop_front() else { break };
            let is_request = !matches!(next.item.origin, Origin::Record(_));
            if is_request && next.slot.is_abandoned() {
                continue;
            }
            taken.weight += next.weight;
            taken.entries.push(next);
        }
        self.in_progress_count = taken.entries.len() - before;
        self.in_progress = self.in_progress_count > 0;
        if self.is_empty() {
            // Nobody waits for the lane, so whether it is still held is nobody's trouble.
            self.rests = None;
        }
    }

    /// All that was taken is answered.
    pub fn set_free(&mut self) {
        self.in_progress = false;
        self.in_progress_count = 0;
        if self.rests.is_some_and(|rest| rest.until <= Instant::now()) {
            self.rests = None;
        }
    }

    /// Puts an entry back in front of all others. The last one of several comes first.
    pub fn put_back(&mut self, entry: Entry) {
        self.queue_of(&entry).push_front(entry);
    }

    /// Leaves the lane alone for a moment, because somebody else holds it.
    pub fn rest_busy(&mut self, now: Instant) {
        let since = self.busy_since().unwrap_or(now);
        self.rest(now, BUSY_RESTS, Some(since));
    }

    /// Leaves the lane alone for a moment, because the database failed.
    pub fn rest_failed(&mut self, now: Instant) {
        self.rest(now, FAILED_RESTS, None);
    }

    fn rest(
        &mut self,
        now: Instant,
        (first, most): (Duration, Duration),
        busy_since: Option<Instant>,
    ) {
        let delay = self.rests.map_or(first, |rest| (rest.delay * 2).clamp(first, most));
        self.rests = Some(Rest { until: now + delay, delay, busy_since });
        self.in_progress = false;
        self.in_progress_count = 0;
    }
}
