//! This process's progress in each lane that it follows.

use std::collections::BTreeMap;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use plaudit_domain::lane::Lane;
use tokio::time::Instant;

use crate::handler::{LaneOutcome, Span};
use crate::heads::Heads;
use crate::lease::Tenure;

/// Age at which the checkpoint of an idle lane is stored. A restart reads that much again, and
/// finds nothing to do in it.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(5);

/// Waits of a follower, or of a sender, after failed rounds: from a tenth of a second to five
/// seconds. Each has jitter, so that processes that failed together do not retry together.
pub fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}

/// Progress in the lanes that this process follows.
#[derive(Default)]
pub(crate) struct Cursor {
    lanes: BTreeMap<Lane, Place>,
    /// The last lane that had an outcome. The next round begins after it, so that no lane starves
    /// when a round is full before all lanes had their turn.
    last: Option<Lane>,
}

struct Place {
    tenure: Tenure,
    /// The stored checkpoint.
    stored: i64,
    /// Last position that was handled; nothing up to it is left to do.
    handled: i64,
    stored_at: Instant,
    is_first: bool,
    /// Set after a failure: time of the next try, and the waits after further failures.
    suspended: Option<(Instant, ExponentialBackoff)>,
}

impl Place {
    fn new(tenure: Tenure) -> Self {
        Self {
            tenure,
            stored: tenure.position,
            handled: tenure.position,
            stored_at: Instant::now(),
            is_first: true,
            suspended: None,
        }
    }
}

impl Cursor {
    /// Sets the lanes that are leased now. A lane under a new epoch begins at its checkpoint.
    pub fn adopt(&mut self, held: BTreeMap<Lane, Tenure>) {
        self.lanes.retain(|lane, _| held.contains_key(lane));
        for (lane, tenure) in held {
            let place = self.lanes.entry(lane).or_insert_with(|| Place::new(tenure));
            if place.tenure.epoch == tenure.epoch {
                place.tenure.until = tenure.until;
            } else {
                *place = Place::new(tenure);
            }
        }
    }

    pub fn contains(&self, lane: Lane) -> bool {
        self.lanes.contains_key(&lane)
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Returns the spans to handle, beginning after the lane of the last outcome.
    pub fn due(&self, heads: &Heads, now: Instant) -> Vec<Span> {
        let after_last = self.lanes.iter().filter(|(lane, _)| Some(**lane) > self.last);
        let up_to_last = self.lanes.iter().filter(|(lane, _)| Some(**lane) <= self.last);
        after_last
            .chain(up_to_last)
            .filter(|(_, place)| place.suspended.as_ref().is_none_or(|(until, _)| *until <= now))
            .filter(|(lane, place)| place.is_first || heads.of(**lane) > place.handled)
            .map(|(lane, place)| Span {
                lane: *lane,
                epoch: place.tenure.epoch,
                stored: place.stored,
                after: place.handled,
                head: heads.of(*lane).max(place.handled),
                is_first: place.is_first,
                is_store_due: now.duration_since(place.stored_at) > IDLE_CHECKPOINT,
            })
            .collect()
    }

    /// Stores the outcome of a lane. Returns the reason if it failed.
    pub fn settle(&mut self, outcome: LaneOutcome) -> Option<(Lane, String)> {
        match outcome {
            LaneOutcome::Handled { lane, up_to, is_stored } => {
                self.last = Some(lane);
                let place = self.lanes.get_mut(&lane)?;
                place.handled = up_to;
                place.is_first = false;
                place.suspended = None;
                if is_stored {
                    place.stored = up_to;
                    place.stored_at = Instant::now();
                }
                None
            }
            LaneOutcome::Failed { lane, reason } => {
                self.last = Some(lane);
                let place = self.lanes.get_mut(&lane)?;
                place.handled = place.stored;
                let mut waits = place.suspended.take().map_or_else(backoff, |(_, waits)| waits);
                let wait = waits.next().unwrap_or_default();
                place.suspended = Some((Instant::now() + wait, waits));
                Some((lane, reason))
            }
        }
    }

    /// Time of the next try of a suspended lane.
    pub fn resumes_at(&self) -> Option<Instant> {
        self.lanes.values().filter_map(|place| Some(place.suspended.as_ref()?.0)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(lanes: &[(i16, i64, i64)]) -> BTreeMap<Lane, Tenure> {
        let until = Instant::now() + Duration::from_secs(60);
        let tenure = |(lane, epoch, position): &(i16, i64, i64)| {
            (Lane(*lane), Tenure { epoch: *epoch, position: *position, until })
        };
        lanes.iter().map(tenure).collect()
    }

    fn lanes_of(spans: &[Span]) -> Vec<i16> {
        spans.iter().map(|span| span.lane.0).collect()
    }

    fn handled(lane: i16, up_to: i64) -> LaneOutcome {
        LaneOutcome::Handled { lane: Lane(lane), up_to, is_stored: false }
    }

    #[test]
    fn a_round_begins_after_the_lane_that_was_last_so_that_none_is_left_behind() {
        let mut cursor = Cursor::default();
        cursor.adopt(held(&[(0, 1, 0), (1, 1, 0), (2, 1, 0)]));
        let heads = Heads::from([(Lane(0), 9), (Lane(1), 9), (Lane(2), 9)]);
        assert_eq!(lanes_of(&cursor.due(&heads, Instant::now())), [0, 1, 2]);
        cursor.settle(handled(0, 5));
        cursor.settle(handled(1, 9));
        let due = cursor.due(&heads, Instant::now());
        assert_eq!(lanes_of(&due), [2, 0], "lane 1 has nothing left");
        assert_eq!((due[1].after, due[1].stored, due[1].is_first), (5, 0, false));
    }

    #[test]
    fn a_lane_that_failed_begins_again_at_its_checkpoint_after_a_while() {
        let mut cursor = Cursor::default();
        cursor.adopt(held(&[(0, 1, 3), (1, 1, 0)]));
        let heads = Heads::from([(Lane(0), 9), (Lane(1), 9)]);
        cursor.settle(handled(0, 5));
        let failed = LaneOutcome::Failed { lane: Lane(0), reason: "broken".to_owned() };
        assert_eq!(cursor.settle(failed), Some((Lane(0), "broken".to_owned())));
        assert_eq!(lanes_of(&cursor.due(&heads, Instant::now())), [1]);
        assert!(cursor.resumes_at().unwrap() > Instant::now());
        let again = cursor.due(&heads, Instant::now() + Duration::from_secs(6));
        assert_eq!(again.iter().find(|span| span.lane == Lane(0)).unwrap().after, 3);
    }

    #[test]
    fn a_lane_under_a_new_epoch_begins_at_the_checkpoint_of_its_lease() {
        let mut cursor = Cursor::default();
        cursor.adopt(held(&[(0, 1, 0)]));
        cursor.settle(handled(0, 5));
        cursor.adopt(held(&[(0, 2, 4)]));
        let due = cursor.due(&Heads::from([(Lane(0), 9)]), Instant::now());
        assert_eq!((due[0].after, due[0].stored, due[0].epoch, due[0].is_first), (4, 4, 2, true));
        cursor.adopt(held(&[]));
        assert!(cursor.is_empty());
    }
}
