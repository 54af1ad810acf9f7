//! The work of one lane: waiting items, items in progress, and rest periods. Pure: the time is
//! passed in.

use std::collections::VecDeque;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use tokio::time::Instant;

use super::submission::Slot;
use crate::batch::{Item, Origin};
use crate::executor::is_same_record;
use crate::lanes::Contention;

/// Rest period of a lane that another session holds: first and maximum value.
const BUSY_RESTS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// Rest period of a lane whose work draws on a held budget. Longer than that of a held lane, since a
/// worker waits for the budget at each attempt.
const BUDGET_RESTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Rest period of a lane after the database failed: first and maximum value.
const FAILED_RESTS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Time after the last request during which a held lane is still probed.
const HELD_ASKED_WITHIN: Duration = Duration::from_secs(60);

/// An item with its ticket.
pub(super) struct Entry {
    pub item: Item,
    pub ticket: Ticket,
}

/// Bookkeeping of the queue for an item while a batch has it.
pub(super) struct Ticket {
    /// Receives the answer.
    pub slot: Slot,
    /// The number of tasks, milestones or grants that the item may touch.
    pub weight: usize,
    pub submitted_at: Instant,
}

/// The work taken for one transaction.
#[derive(Default)]
pub(super) struct Taken {
    entries: Vec<Entry>,
    weight: usize,
    /// True for work of backfills.
    pub in_background: bool,
}

impl Taken {
    /// Starts empty, for work of backfills.
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
    /// Work of backfills. Taken only while no other work waits.
    background: VecDeque<Entry>,
    /// True while a worker has some of it. No other worker may take any before that is answered.
    in_progress: bool,
    in_progress_count: usize,
    /// The submission time of the oldest item in progress.
    in_progress_since: Option<Instant>,
    rests: Option<Rest>,
    /// Set while another process holds the lane, as far as is known; cleared when a lock succeeds.
    held: Option<Held>,
    /// Set while another session holds a budget that the lane's work draws on.
    budget_held_since: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    delay: Duration,
}

#[derive(Clone, Copy)]
struct Held {
    since: Instant,
    /// The last time at which work for the lane found it held.
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

    /// True if nothing waits or is being applied, including work of backfills.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.background.is_empty()
    }

    /// The number of items that wait or are being applied. Waiting items of backfills do not count.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.in_progress_count
    }

    pub fn is_ready(&self, now: Instant) -> bool {
        self.is_free(now) && !self.waiting.is_empty()
    }

    /// True if work of a backfill can be taken.
    pub fn is_ready_in_background(&self, now: Instant) -> bool {
        self.is_free(now) && !self.background.is_empty()
    }

    fn is_free(&self, now: Instant) -> bool {
        !self.in_progress && self.rests.is_none_or(|rest| now >= rest.until)
    }

    /// The time until which the lane rests, if it has work. Work of backfills counts only with
    /// `background`.
    pub fn rests_until(&self, background: bool) -> Option<Instant> {
        let waits = !self.waiting.is_empty() || (background && !self.background.is_empty());
        let waits = waits && !self.in_progress;
        self.rests.filter(|_| waits).map(|rest| rest.until)
    }

    /// The time since which another process holds the lane, whether or not work still waits for it.
    pub fn held_since(&self) -> Option<Instant> {
        self.held.map(|held| held.since)
    }

    /// The submission time of the oldest item that waits or is being applied. Waiting items of
    /// backfills do not count.
    pub fn waiting_since(&self) -> Option<Instant> {
        let first = self.waiting.front().map(|entry| entry.ticket.submitted_at);
        first.into_iter().chain(self.in_progress_since).min()
    }

    /// True if the lane was held when last tried and no work is left that would try it again. A
    /// lane that nobody has asked for in a while is no longer considered held.
    pub fn is_to_be_probed(&mut self, now: Instant) -> bool {
        let is_requested = |held: &Held| now.duration_since(held.asked_at) < HELD_ASKED_WITHIN;
        self.held = self.held.filter(|held| !self.is_empty() || is_requested(held));
        self.held.is_some() && self.is_empty()
    }

    /// Notes that work of the lane was applied, or that it could be locked.
    pub fn note_free(&mut self) {
        self.held = None;
        self.budget_held_since = None;
    }

    /// The time since which another session holds a budget that the lane's work draws on.
    pub fn budget_held_since(&self) -> Option<Instant> {
        self.budget_held_since.filter(|_| !self.is_empty())
    }

    /// Moves work into `taken`, in order, until it is full. Never splits the items of one record.
    /// Drops items whose sender no longer waits, except Kafka records.
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
            let is_retried = matches!(next.item.origin, Origin::Record(_));
            if !is_retried && next.ticket.slot.is_abandoned() {
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
            self.budget_held_since = None;
        }
    }

    fn nothing_in_progress(&mut self) {
        self.in_progress = false;
        self.in_progress_count = 0;
        self.in_progress_since = None;
    }

    /// Frees the lane after everything taken was answered.
    pub fn set_free(&mut self) {
        self.nothing_in_progress();
        self.budget_held_since = None;
        if self.rests.is_some_and(|rest| rest.until <= Instant::now()) {
            self.rests = None;
        }
    }

    /// Puts an entry back at the front. Call it for the last entry first.
    pub fn put_back(&mut self, entry: Entry) {
        self.queue_of(&entry).push_front(entry);
    }

    /// Notes that work for the lane found it held by another session.
    pub fn note_held(&mut self, now: Instant) {
        let since = self.held_since().unwrap_or(now);
        self.held = Some(Held { since, asked_at: now });
    }

    /// Starts or extends a rest period, because of what other sessions hold.
    pub fn rest_busy(&mut self, contention: &Contention, lane: Lane, now: Instant) {
        if contention.holds(lane) {
            self.note_held(now);
        }
        match contention {
            Contention::Held(_) | Contention::GateClosed => self.rest(now, BUSY_RESTS),
            Contention::BudgetHeld(_) => {
                self.budget_held_since.get_or_insert(now);
                self.rest(now, BUDGET_RESTS);
            }
        }
    }

    /// Starts or extends a rest period, because the database failed.
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
        let held = Contention::Held([Lane(0)].into());
        lane.rest_busy(&held, Lane(0), began);
        let later = began + Duration::from_secs(5);
        assert!(!lane.is_to_be_probed(later), "its own work finds out");
        drop(submission);
        let mut taken = Taken::default();
        lane.take(&mut taken, 10, 10);
        assert!(taken.is_empty());
        assert_eq!(lane.held_since(), Some(began));
        assert!(lane.is_to_be_probed(later));
        lane.rest_busy(&held, Lane(0), later);
        assert_eq!(lane.held_since(), Some(began), "it was held all the time");
        assert!(lane.is_to_be_probed(began + HELD_ASKED_WITHIN));
        lane.note_free();
        assert!(!lane.is_to_be_probed(later) && lane.held_since().is_none());
        lane.rest_busy(&held, Lane(0), later);
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
