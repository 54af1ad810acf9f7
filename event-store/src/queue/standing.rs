//! Health of the queue: lanes that another writer holds, and work that makes no progress.

use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;

use plaudit_domain::lane::Lane;
use tokio::time::Instant;

use super::lane_work::LaneWork;
use super::{CommandQueue, Lanes, Shared};
use crate::error::ExecuteError;

/// Time after which a held lane is reported.
const NAMED_AFTER: Duration = Duration::from_secs(2);

/// Time after which waiting work, with no commit meanwhile, makes the process unready.
const STALLED_AFTER: Duration = Duration::from_secs(8);

/// Time without a commit after which an idle process probes whether the database accepts writes. The
/// probe's row is rolled back: 300 bytes of write-ahead log, which nothing waits for. Followers
/// write more to renew their leases.
const PROBED_AFTER: Duration = Duration::from_secs(4);

/// Interval for counting held lanes, and for probing those that no work tries.
const EVERY: Duration = Duration::from_secs(1);

/// A lane that another process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusyLane {
    /// The lane.
    pub lane: Lane,
    /// The time since it was first found held.
    pub since: Duration,
}

/// An ongoing failure that affects every batch.
#[derive(Debug)]
pub(super) struct Failing {
    since: Instant,
    last_at: Instant,
    why: String,
}

impl Failing {
    pub fn note(failing: &mut Option<Self>, why: &ExecuteError, now: Instant) {
        let since = failing.as_ref().map_or(now, |failing| failing.since);
        *failing = Some(Self { since, last_at: now, why: why.to_string() });
    }
}

impl CommandQueue {
    /// The time since which nothing can be written, and the reason. `None` once the database
    /// accepts a batch, or a probe while there is no work.
    pub fn failing(&self) -> Option<(Duration, String)> {
        let failing = self.handle.shared.failing();
        failing.as_ref().map(|failing| (failing.since.elapsed(), failing.why.clone()))
    }

    /// Lanes that have been held for a while, longest first. Only their own users wait. A lane
    /// whose requests were all given up stays listed until it is free, or until nobody has asked
    /// for it for a minute.
    pub fn busy_lanes(&self) -> Vec<BusyLane> {
        self.handle.shared.lanes().busy(Instant::now())
    }

    /// The time for which another session has held a budget, if it is long. Only users whose rewards
    /// draw on it, and those of their lanes, wait.
    pub fn budget_held(&self) -> Option<Duration> {
        let (lanes, now) = (self.handle.shared.lanes(), Instant::now());
        let since = lanes.work.iter().filter_map(LaneWork::budget_held_since).min()?;
        Some(now.saturating_duration_since(since)).filter(|held| *held >= NAMED_AFTER)
    }

    /// The reason why work makes no progress, or `None`. A single lane held by another writer is
    /// not a reason.
    pub fn stalled(&self) -> Option<String> {
        let shared = &self.handle.shared;
        let committed_at = shared.executor.committed_at();
        let stall = shared.lanes().stall(committed_at, Instant::now())?;
        Some(match stall {
            Stall::Waiting(waited) => format!(
                "work has waited for {} s and nothing was written meanwhile; `select pid, state, wait_event, query \
                 from pg_stat_activity` shows what the database waits for",
                waited.as_secs()
            ),
            Stall::Held { lanes, waited } => format!(
                "{lanes} lanes have been held by other writers for {} s, and nothing was written meanwhile; \
                 `select pid, granted from pg_locks where locktype = 'advisory'` shows who holds them",
                waited.as_secs()
            ),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Stall {
    Waiting(Duration),
    Held { lanes: usize, waited: Duration },
}

impl Lanes {
    fn busy(&self, now: Instant) -> Vec<BusyLane> {
        let busy = (0..).zip(&self.work).filter_map(|(lane, work)| {
            let since = now.saturating_duration_since(work.held_since()?);
            (since >= NAMED_AFTER).then_some(BusyLane { lane: Lane(lane), since })
        });
        let mut busy: Vec<_> = busy.collect();
        busy.sort_by_key(|busy| std::cmp::Reverse(busy.since));
        busy
    }

    /// True if nothing waits or is being applied, except what waits for locks of other sessions.
    fn is_idle_but_for_held(&self) -> bool {
        self.work.iter().all(|work| work.waiting_since().is_none() || is_delayed(work))
    }

    fn stall(&self, committed_at: Option<Instant>, now: Instant) -> Option<Stall> {
        let uneventful = |since: &Instant| committed_at.is_none_or(|at| at < *since);
        let lasted = |since: Instant| {
            Some(now.saturating_duration_since(since)).filter(|lasted| *lasted >= STALLED_AFTER)
        };
        let free = self.work.iter().filter(|work| !is_delayed(work));
        let waiting = free.filter_map(LaneWork::waiting_since).filter(uneventful).min();
        if let Some(waited) = waiting.and_then(lasted) {
            return Some(Stall::Waiting(waited));
        }
        // Lanes held for long, with no commit since they were first found held.
        let held = self.work.iter().filter_map(LaneWork::held_since).filter(uneventful);
        let held: Vec<Duration> = held.filter_map(lasted).collect();
        let waited = held.iter().max().copied()?;
        (held.len() > 1).then_some(Stall::Held { lanes: held.len(), waited })
    }
}

/// True if the lane's work waits for a lock of another session, on the lane or on a budget.
fn is_delayed(work: &LaneWork) -> bool {
    work.held_since().is_some() || work.budget_held_since().is_some()
}

/// Counts held lanes and probes those that no work tries, for as long as the queue exists.
pub(super) async fn watch(queue: Weak<Shared>) {
    let mut written_at = Instant::now();
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(shared) = queue.upgrade() else { return };
        if shared.lanes().closed {
            return;
        }
        shared.probe_writes(&mut written_at).await;
        shared.probe().await;
        shared.count();
    }
}

impl Shared {
    async fn probe(&self) {
        let now = Instant::now();
        let probed: BTreeSet<Lane> = {
            let mut lanes = self.lanes();
            let all = (0..).map(Lane).zip(&mut lanes.work);
            all.filter_map(|(lane, work)| work.is_to_be_probed(now).then_some(lane)).collect()
        };
        if probed.is_empty() {
            return;
        }
        match self.executor.held_lanes(&probed).await {
            Ok(held) => {
                let mut lanes = self.lanes();
                for lane in probed.difference(&held) {
                    lanes.of(*lane).note_free();
                }
            }
            // Every writer meets the same error and reports it.
            Err(error) => tracing::debug!(%error, "held lanes can't be tried"),
        }
    }

    /// Probes whether the database accepts writes, if there is no work that would show it. Without
    /// this, an unready process that gets no requests would never become ready again, and an idle
    /// process would stay ready on a database that became read-only.
    ///
    /// `written_at` is the time of the last successful probe.
    async fn probe_writes(&self, written_at: &mut Instant) {
        let began = Instant::now();
        *written_at = self.executor.committed_at().map_or(*written_at, |at| at.max(*written_at));
        let is_due = self.failing().is_some() || began.duration_since(*written_at) >= PROBED_AFTER;
        if !is_due || !self.lanes().is_idle_but_for_held() {
            return;
        }
        let tried = self.executor.try_to_write().await;
        let mut failing = self.failing();
        match tried {
            Ok(()) => {
                *written_at = began;
                failing.take_if(|failing| failing.last_at <= began);
            }
            Err(error) => Failing::note(&mut failing, &error, Instant::now()),
        }
    }

    fn count(&self) {
        let busy = self.lanes().busy(Instant::now());
        metrics::gauge!("plaudit_lanes_busy").set(u32::try_from(busy.len()).unwrap_or(u32::MAX));
        let longest = busy.first().map_or(0.0, |busy| busy.since.as_secs_f64());
        metrics::gauge!("plaudit_lane_busy_seconds").set(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::super::lane_work::{Entry, Ticket};
    use super::super::submission;
    use super::*;
    use crate::batch::{Item, Origin, Work};
    use crate::lanes::Contention;

    fn lanes(count: usize) -> Lanes {
        let work = (0..count).map(|_| LaneWork::default()).collect();
        Lanes { work, closed: false, in_background: false }
    }

    #[test]
    fn held_lanes_are_a_stall_once_there_are_several_and_nothing_else_was_written() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut lanes = lanes(4);
        lanes.work[0].note_held(at(1));
        assert_eq!(lanes.stall(None, at(20)), None, "its own users only");
        lanes.work[2].note_held(at(2));
        assert_eq!(lanes.stall(None, at(9)), None, "not yet");
        let stall = |waited| Some(Stall::Held { lanes: 2, waited: Duration::from_secs(waited) });
        assert_eq!(lanes.stall(None, at(10)), stall(9));
        assert_eq!(lanes.stall(Some(began), at(10)), stall(9));
        assert_eq!(lanes.stall(Some(at(3)), at(10)), None, "others get on");
        assert_eq!(lanes.busy(at(10))[0].lane, Lane(0));
        lanes.work[2].note_free();
        assert_eq!(lanes.stall(None, at(10)), None);
    }

    #[tokio::test]
    async fn work_that_waits_for_a_budget_is_no_stall() {
        let began = Instant::now();
        let mut lanes = lanes(4);
        let (mut slots, _submission) = submission::begin(1, ());
        let item = Item {
            lane: Lane(1),
            work: Work::SettleBackfills,
            origin: Origin::Request(uuid::Uuid::from_u128(1)),
        };
        let ticket = Ticket { slot: slots.remove(0), weight: 1, submitted_at: began };
        lanes.work[1].put_back(Entry { item, ticket });
        let late = began + Duration::from_secs(20);
        assert!(lanes.stall(None, late).is_some());
        lanes.work[1].rest_busy(&Contention::BudgetHeld([Lane(1)].into()), Lane(1), began);
        assert_eq!(lanes.stall(None, late), None);
        assert!(lanes.is_idle_but_for_held() && lanes.busy(late).is_empty());
        lanes.work[1].note_free();
        assert!(lanes.stall(None, late).is_some());
    }
}
