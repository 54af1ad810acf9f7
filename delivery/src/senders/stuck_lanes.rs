//! Lanes in which nothing can be stored for the moment: another writer holds them, or their rows
//! are damaged. A sender goes on without them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;

/// Time for which a stuck lane is left out before the next try. Each try may wait for the lane's
/// lock for most of a second, and holds up the sender's other lanes for as long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The stuck lanes of one sender, each with the time of its next try.
#[derive(Debug, Clone, Default)]
pub struct StuckLanes(BTreeMap<Lane, Instant>);

impl StuckLanes {
    pub fn add(&mut self, lane: Lane) {
        self.0.insert(lane, Instant::now() + TRY_AGAIN_AFTER);
    }

    /// Removes a lane. Returns true if it was stuck.
    pub fn remove(&mut self, lane: Lane) -> bool {
        self.0.remove(&lane).is_some()
    }

    pub fn has(&self, lane: Lane) -> bool {
        self.0.contains_key(&lane)
    }

    /// Returns true if the lane is left out at the moment.
    pub fn is_left_out(&self, lane: Lane) -> bool {
        self.0.get(&lane).is_some_and(|again_at| Instant::now() < *again_at)
    }

    /// Removes and returns the lanes that other processes hold now.
    pub fn forget_lost(&mut self, held: &[Lane]) -> Vec<Lane> {
        let lost: Vec<Lane> = self.0.keys().copied().filter(|lane| !held.contains(lane)).collect();
        self.0.retain(|lane, _| held.contains(lane));
        lost
    }
}
