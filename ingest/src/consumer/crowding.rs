//! Crowded lanes fill their share of the memory. The partitions that feed them are paused, so that
//! a lane that another process holds locked does not take the room of all others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use plaudit_domain::lane::Lane;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer as _;

use super::assignment::list_of;
use super::membership::GroupConsumer;
use super::{Polling, log_failure};
use crate::health::{PartitionStanding, Subject};
use crate::offsets::tracker::LANE_BYTES_MAX;
use crate::source_partition::SourcePartition;

/// Time without a readable partition after which the standstill is reported.
const STALLED_AFTER: Duration = Duration::from_secs(8);

/// The crowded lanes, and the partitions that feed them. A lane is crowded from [`LANE_BYTES_MAX`] in
/// flight until it is down to half of them.
#[derive(Debug, Default)]
pub struct Crowding {
    /// The feeding partitions of lanes with work in flight. With records keyed by user, a lane has
    /// one.
    fed_by: BTreeMap<Lane, BTreeSet<SourcePartition>>,
    crowded: BTreeSet<Lane>,
    /// The partitions that are paused because they feed a crowded lane.
    held_back: BTreeSet<SourcePartition>,
    stalled_since: Option<Instant>,
    is_standstill_named: bool,
}

impl Crowding {
    /// Notes which partitions had records for which lanes.
    pub fn note_feeders(&mut self, feeders: Vec<(Lane, SourcePartition)>) {
        for (lane, at) in feeders {
            self.fed_by.entry(lane).or_default().insert(at);
        }
    }

    /// Updates the crowded lanes from the bytes that each has in flight.
    fn update(&mut self, bytes_of: impl Fn(Lane) -> usize) {
        self.fed_by.retain(|lane, _| bytes_of(*lane) > 0);
        self.crowded.retain(|lane| bytes_of(*lane) > LANE_BYTES_MAX / 2);
        let full = self.fed_by.keys().filter(|lane| bytes_of(**lane) >= LANE_BYTES_MAX);
        self.crowded.extend(full);
    }

    /// Returns the partitions that feed a crowded lane.
    fn feeders(&self) -> BTreeSet<SourcePartition> {
        let of_crowded = self.crowded.iter().filter_map(|lane| self.fed_by.get(lane));
        of_crowded.flatten().cloned().collect()
    }

    /// Returns true if a partition is paused because it feeds a crowded lane.
    pub fn holds_back(&self, at: &SourcePartition) -> bool {
        self.held_back.contains(at)
    }

    /// Forgets that a partition is paused, after it was assigned or resumed.
    pub fn forget(&mut self, at: &SourcePartition) {
        self.held_back.remove(at);
    }
}

impl Polling {
    pub(super) fn note_feeders(&mut self, feeders: Vec<(Lane, SourcePartition)>) {
        self.crowding.note_feeders(feeders);
        self.load_changed = true;
    }

    /// Pauses the partitions that feed a crowded lane, and resumes those that no longer do.
    pub(super) fn hold_back(&mut self, client: &GroupConsumer) {
        if !std::mem::take(&mut self.load_changed) {
            return self.note_standstill();
        }
        let tracker = &self.tracker;
        self.crowding.update(|lane| tracker.bytes_of(lane));
        let is_running = |at: &SourcePartition| {
            self.partitions.get(at).is_some_and(|a| a.standing == PartitionStanding::Running)
        };
        let mut feeders = self.crowding.feeders();
        feeders.retain(is_running);
        let before = &self.crowding.held_back;
        let news = list_of(feeders.difference(before));
        let freed = list_of(before.difference(&feeders).filter(|at| is_running(at)));
        if news.count() > 0 {
            log_failure("pause", &client.pause(&news));
        }
        // If backpressure has paused all partitions, they are resumed together.
        if freed.count() > 0 && !self.backpressure.is_paused() {
            log_failure("resume", &client.resume(&freed));
        }
        if feeders != *before {
            self.crowding.held_back = feeders;
            self.describe_crowding();
        }
        self.note_standstill();
    }

    /// Returns the running partitions, except those paused for a crowded lane.
    pub(super) fn running(&self) -> TopicPartitionList {
        let running =
            self.partitions.iter().filter(|(_, a)| a.standing == PartitionStanding::Running);
        list_of(running.map(|(at, _)| at).filter(|at| !self.crowding.holds_back(at)))
    }

    fn describe_crowding(&self) {
        if self.crowding.held_back.is_empty() {
            return self.context.health.retract(&Subject::CrowdedLanes);
        }
        let lanes: Vec<String> = self.crowding.crowded.iter().map(ToString::to_string).collect();
        let partitions = self.crowding.held_back.iter().take(NAMED_MAX);
        let partitions: Vec<String> = partitions.map(ToString::to_string).collect();
        let more = if self.crowding.held_back.len() > NAMED_MAX { ", …" } else { "" };
        let problem = format!(
            "the records in flight for {} {} fill their share of the memory, so that {}{more} can't be read until \
             they are applied; {WHO_HOLDS}",
            if lanes.len() == 1 { "lane" } else { "lanes" },
            lanes.join(", "),
            partitions.join(", "),
        );
        self.context.health.report(Subject::CrowdedLanes, problem);
    }

    /// Reports a standstill: nothing is read, either for lack of room or because of crowded lanes.
    fn note_standstill(&mut self) {
        let mut running =
            self.partitions.iter().filter(|(_, a)| a.standing == PartitionStanding::Running);
        let held_back = &self.crowding.held_back;
        let stands = !held_back.is_empty() && running.all(|(at, _)| held_back.contains(at));
        self.crowding.stalled_since =
            stands.then(|| self.crowding.stalled_since.unwrap_or_else(Instant::now));
        let is_stalled =
            self.crowding.stalled_since.is_some_and(|since| since.elapsed() >= STALLED_AFTER);
        let is_stalled = is_stalled || self.backpressure.is_stalled();
        if is_stalled {
            self.context.health.report(Subject::Backpressure, self.described_standstill());
        } else if self.crowding.is_standstill_named {
            self.context.health.retract(&Subject::Backpressure);
        }
        self.crowding.is_standstill_named = is_stalled;
    }

    /// Describes the standstill, without numbers that change while it lasts.
    fn described_standstill(&self) -> String {
        let held = self.tracker.fullest_lane().map_or_else(String::new, |lane| {
            format!(", most of them for lane {lane}; {WHO_HOLDS}")
        });
        format!(
            "reading stands still, since the records that were read are not applied{held}; it goes on once they are"
        )
    }
}

/// The most partitions that a report lists.
const NAMED_MAX: usize = 8;

const WHO_HOLDS: &str =
    "`select pid, granted from pg_locks where locktype = 'advisory'` shows who holds a lane";

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(partition: i32) -> SourcePartition {
        SourcePartition { topic: "t".into(), partition }
    }

    #[test]
    fn a_crowded_lane_holds_its_feeders_back_until_it_has_half_of_its_share() {
        let mut crowding = Crowding::default();
        crowding.note_feeders(vec![(Lane(1), partition(1)), (Lane(2), partition(2))]);
        let update = |crowding: &mut Crowding, of_first| {
            crowding.update(|lane| if lane == Lane(1) { of_first } else { 1 });
            crowding.feeders().into_iter().map(|at| at.partition).collect::<Vec<_>>()
        };
        assert_eq!(update(&mut crowding, LANE_BYTES_MAX - 1), [0; 0]);
        assert_eq!(update(&mut crowding, LANE_BYTES_MAX), [1]);
        crowding.note_feeders(vec![(Lane(1), partition(3))]);
        assert_eq!(update(&mut crowding, LANE_BYTES_MAX / 2 + 1), [1, 3]);
        assert_eq!(update(&mut crowding, LANE_BYTES_MAX / 2), [0; 0]);
        assert_eq!(update(&mut crowding, 0), [0; 0]);
        assert!(!crowding.fed_by.contains_key(&Lane(1)), "nothing of it is in flight");
    }
}
