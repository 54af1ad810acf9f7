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

/// The time for which a held lane is probed after the last request for it.
const HELD_ASKED_WITHIN: Duration = Duration::from_secs(60);

/// An item, and what the queue knows of it.
pub(super) struct Entry {
    pub item: Item,
    pub ticket: Ticket,
}

/// The queue's part of an item while a batch has it.
pub(super) struct Ticket {
    /// The receiver of its answer.
    pub slot: Slot,
    /// How many tasks it may touch.
    pub weight: usize,
    pub submitted_at: Instant,
}

/// The work that a worker took for one transaction.
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
        self.weight += entries.iter().map(|entry| entry.ticket.weight).sum::<usize>();
        self.entries.extend(entries);
    }

    pub fn into_parts(self) -> (Vec<Item>, Vec<Ticket>) {
        self.entries.into_iter().map(|entry| (entry.item, entry.ticket)).unzip()
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
    /// The submission time of the oldest item in progress.
    in_progress_since: Option<Instant>,
    rests: Option<Rest>,
    /// Somebody outside of this process holds the lane, as far as is known: until a lock succeeds.
    held: Option<Held>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    delay: Duration,
}

#[derive(Clone, Copy)]
struct Held {
    since: Instant,
    /// The time at which work for the lane last found it held.
    asked_at: Instant,
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

    /// Since when somebody outside of this process holds the lane, whether work waits for it or was given up.
    pub fn held_since(&self) -> Option<Instant> {
        self.held.map(|held| held.since)
    }

    /// Since when the oldest item of this lane waits or is being applied, but for backfills.
    pub fn waiting_since(&self) -> Option<Instant> {
        let first = self.waiting.front().map(|entry| entry.ticket.submitted_at);
        first.into_iter().chain(self.in_progress_since).min()
    }

    /// Tells whether the lane was held when work last came to it, and none waits that would find out how it is now. One
    /// that nobody has asked for in a while is forgotten.
    pub fn is_to_be_probed(&mut self, now: Instant) -> bool {
        let is_wanted = |held: &Held| now.duration_since(held.asked_at) < HELD_ASKED_WITHIN;
        self.held = self.held.filter(|held| !self.is_empty() || is_wanted(held));
        self.held.is_some() && self.is_empty()
    }

    /// The lane could be had.
    pub fn note_free(&mut self) {
        self.held = None;
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
            if is_request && next.ticket.slot.is_abandoned() {
                continue;
            }
            taken.weight += next.ticket.weight;
            taken.entries.push(next);
        }
        let mine = &taken.entries[before..];
        self.in_progress_count = mine.len();
        self.in_progress = !mine.is_empty();
        self.in_progress_since = mine.iter().map(|entry| entry.ticket.submitted_at).min();
        if self.is_empty() {
            self.rests = None;
        }
    }

    fn nothing_in_progress(&mut self) {
        self.in_progress = false;
        self.in_progress_count = 0;
        self.in_progress_since = None;
    }

    /// All that was taken is answered.
    pub fn set_free(&mut self) {
        self.nothing_in_progress();
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
        let since = self.held_since().unwrap_or(now);
        self.held = Some(Held { since, asked_at: now });
        self.rest(now, BUSY_RESTS);
    }

    /// Leaves the lane alone for a moment, because the database failed.
    pub fn rest_failed(&mut self, now: Instant) {
        self.rest(now, FAILED_RESTS);
    }

    fn rest(&mut self, now: Instant, (first, most): (Duration, Duration)) {
        let delay = self.rests.map_or(first, |rest| (rest.delay * 2).clamp(first, most));
        self.rests = Some(Rest { until: now + delay, delay });
        self.nothing_in_progress();
    }
}

#[cfg(test)]
mod tests {
    use plaudit_domain::lane::Lane;
    use uuid::Uuid;

    use super::super::submission;
    use super::*;
    use crate::batch::Work;

    fn entry(weight: usize, submitted_at: Instant) -> (Entry, submission::Submission) {
        let (mut slots, submission) = submission::begin(1, ());
        let work = Work::SettleBackfills;
        let item = Item { lane: Lane(0), work, origin: Origin::Request(Uuid::from_u128(1)) };
        let ticket = Ticket { slot: slots.remove(0), weight, submitted_at };
        (Entry { item, ticket }, submission)
    }

    #[test]
    fn a_lane_stays_held_after_its_only_request_was_given_up_until_it_is_free_or_forgotten() {
        let began = Instant::now();
        let mut lane = LaneWork::default();
        let (first, submission) = entry(1, began);
        lane.put_back(first);
        lane.rest_busy(began);
        let later = began + Duration::from_secs(5);
        assert!(!lane.is_to_be_probed(later), "its own work finds out");
        drop(submission);
        let mut taken = Taken::default();
        lane.take(&mut taken, 10, 10);
        assert!(taken.is_empty());
        assert_eq!(lane.held_since(), Some(began));
        assert!(lane.is_to_be_probed(later));
        lane.rest_busy(later);
        assert_eq!(lane.held_since(), Some(began), "it was held all the time");
        assert!(lane.is_to_be_probed(began + HELD_ASKED_WITHIN));
        lane.note_free();
        assert!(!lane.is_to_be_probed(later) && lane.held_since().is_none());
        lane.rest_busy(later);
        assert!(!lane.is_to_be_probed(later + HELD_ASKED_WITHIN));
        assert_eq!(lane.held_since(), None, "nobody has asked for it in a while");
    }

    #[test]
    fn the_oldest_item_counts_whether_it_waits_or_is_being_applied() {
        let began = Instant::now();
        let mut lane = LaneWork::default();
        let (old, _old) = entry(1, began);
        let (new, _new) = entry(1, began + Duration::from_secs(1));
        lane.push(old);
        let mut taken = Taken::default();
        lane.take(&mut taken, 10, 10);
        lane.push(new);
        assert_eq!(lane.waiting_since(), Some(began));
        lane.set_free();
        assert_eq!(lane.waiting_since(), Some(began + Duration::from_secs(1)));
    }
}
