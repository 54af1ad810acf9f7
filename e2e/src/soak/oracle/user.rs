//! The expected state of one user's tasks after the records so far.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;

use super::timeline::{Period, Timeline, key};
use crate::soak::action::{Action, Coins, Deed};
use crate::soak::tasks::{Kind, TASKS, Task};

/// The number of times each rule decided something. A soak in which a rule never decides proves
/// nothing about it.
#[derive(Debug, Default, Clone, Copy)]
pub struct Met {
    /// Duplicates.
    pub duplicates: u64,
    /// Actions that were too late for a task.
    pub too_late: u64,
    /// Actions that a lock kept out.
    pub locked: u64,
    /// Milestones that waited for an unlock.
    pub held: u64,
    /// Changes of zone that waited for the end of a period.
    pub zones: u64,
    /// Broken streaks.
    pub broken: u64,
    /// Completed cycles of streaks.
    pub cycles: u64,
}

/// The book of one user.
#[derive(Debug)]
pub struct UserBook {
    /// The decisions of the rules.
    pub met: Met,
    seen: HashSet<(u8, u64)>,
    /// The number of actions so far.
    applied: u64,
    zone_reported_at: Option<Timestamp>,
    /// True once any action has moved a task.
    counted: bool,
    /// In the order of [`TASKS`].
    pub tasks: Vec<TaskBook>,
}

/// The book of one task of a user.
#[derive(Debug)]
pub struct TaskBook {
    /// The rules of the task.
    pub task: &'static Task,
    /// The periods, if the task has any.
    pub timeline: Option<Timeline>,
    /// The latest time of an action that moved the task.
    watermark: Option<Timestamp>,
    /// By period key: the periods with progress.
    pub turns: BTreeMap<String, Turn>,
    /// True once the last milestone was reached while unlocked.
    pub completed: bool,
    /// The streak; only tasks of that kind move it.
    pub streak: Streak,
}

/// The progress in one period.
#[derive(Debug, Default)]
pub struct Turn {
    /// Absent if the task has only one period.
    pub period: Option<Period>,
    /// At most the target.
    pub progress: i64,
    /// Time at which each milestone was reached.
    pub reached: BTreeMap<i64, Timestamp>,
    /// The number of the user's action that reached each milestone, in the order of the log.
    pub reached_by: BTreeMap<i64, u64>,
    /// Milestones reached while locked.
    held: Vec<i64>,
}

/// A row of periods without a gap.
#[derive(Debug, Default)]
pub struct Streak {
    /// The length as of the last step.
    pub current: i64,
    /// The greatest length so far.
    pub longest: i64,
    /// The period of the last step.
    pub last: Option<Period>,
    /// By milestone: the key of the period in which the running cycle reached it.
    pub cycle: BTreeMap<i64, String>,
}

impl Default for UserBook {
    fn default() -> Self {
        let tasks = TASKS.iter().map(TaskBook::new).collect();
        let (met, seen) = (Met::default(), HashSet::new());
        Self { met, seen, applied: 0, zone_reported_at: None, counted: false, tasks }
    }
}

impl UserBook {
    /// Applies the next action of the user's partition.
    pub fn apply(&mut self, action: &Action) {
        if !self.seen.insert((action.source, action.id)) {
            self.met.duplicates += 1;
            return; // the first content wins
        }
        self.applied += 1;
        let time = cut(action.time);
        if let Deed::UserUpdated(zone) = action.deed {
            return self.hear_of_zone(zone, time);
        }
        for index in 0..self.tasks.len() {
            let Some(credit) = credit(self.tasks[index].task, action.deed) else { continue };
            let locked = self.is_locked(index);
            let book = &mut self.tasks[index];
            if locked && !book.task.counts_while_locked {
                self.met.locked += 1;
                continue;
            }
            let was_completed = book.completed;
            self.counted |= book.advance(credit, (time, self.applied), locked, &mut self.met);
            if book.completed && !was_completed {
                let id = book.task.id;
                self.release(id, (time, self.applied));
            }
        }
    }

    fn is_locked(&self, index: usize) -> bool {
        let required = self.tasks[index].task.requires;
        required
            .is_some_and(|id| self.tasks.iter().any(|book| book.task.id == id && !book.completed))
    }

    /// Grants the milestones that were reached while `completed` was missing.
    fn release(&mut self, completed: &str, by: (Timestamp, u64)) {
        for book in self.tasks.iter_mut().filter(|book| book.task.requires == Some(completed)) {
            let mut done = false;
            for turn in book.turns.values_mut() {
                for milestone in std::mem::take(&mut turn.held) {
                    turn.reach(milestone, by);
                    done |= milestone == book.task.target();
                }
            }
            book.completed |= done;
        }
    }

    fn hear_of_zone(&mut self, zone: Option<usize>, at: Timestamp) {
        let Some(zone) = zone else { return };
        if self.zone_reported_at.is_some_and(|reported| at < reported) {
            return; // older than what is known
        }
        let at_once = self.zone_reported_at.is_none() && !self.counted;
        self.zone_reported_at = Some(at);
        for book in &mut self.tasks {
            let Some(cadence) = book.task.cadence().filter(|cadence| cadence.of_user) else {
                continue;
            };
            match &mut book.timeline {
                Some(timeline) if !at_once => {
                    self.met.zones += 1;
                    timeline.change_zone(at, zone);
                }
                timeline => *timeline = Some(Timeline::new(cadence, zone)),
            }
        }
    }
}

impl Turn {
    fn reach(&mut self, milestone: i64, (at, action): (Timestamp, u64)) {
        self.reached.insert(milestone, at);
        self.reached_by.insert(milestone, action);
    }
}

impl TaskBook {
    fn new(task: &'static Task) -> Self {
        Self {
            task,
            timeline: task.cadence().map(|cadence| Timeline::new(cadence, 0)),
            watermark: None,
            turns: BTreeMap::new(),
            completed: false,
            streak: Streak::default(),
        }
    }

    /// Returns the key and the bounds of the period that contains an instant.
    pub fn period_at(&self, at: Timestamp) -> (String, Option<Period>) {
        match (&self.timeline, self.task.cadence()) {
            (Some(timeline), Some(cadence)) => {
                let period = timeline.period_at(at);
                (key(cadence.unit, period.first_day), Some(period))
            }
            _ => ("once".to_owned(), None),
        }
    }

    /// Counts an action. Returns true if it moved the task.
    fn advance(&mut self, credit: i64, by: (Timestamp, u64), locked: bool, met: &mut Met) -> bool {
        let (at, _) = by;
        let (key, period) = self.period_at(at);
        let too_late = |period: &Period| {
            let closes = period.end.saturating_add(self.task.lateness).unwrap_or(Timestamp::MAX);
            self.watermark.is_some_and(|watermark| watermark >= closes)
        };
        if period.as_ref().is_some_and(too_late) {
            met.too_late += 1;
            return false;
        }
        let streak = matches!(self.task.kind, Kind::Streak { .. });
        let target = if streak { 1 } else { self.task.target() };
        let turn = self.turns.entry(key.clone()).or_default();
        let before = turn.progress;
        let after = before.saturating_add(credit).min(target);
        if after == before {
            return false;
        }
        turn.period = period;
        turn.progress = after;
        self.watermark = self.watermark.max(Some(at));
        if streak {
            self.step(&key, period, by, met);
            return true;
        }
        for milestone in self.task.milestones.iter().map(|milestone| milestone.at) {
            if before < milestone && milestone <= after {
                if locked {
                    met.held += 1;
                    turn.held.push(milestone);
                } else {
                    turn.reach(milestone, by);
                    self.completed |= milestone == target;
                }
            }
        }
        true
    }

    /// Adds one period to the streak.
    fn step(&mut self, key: &str, period: Option<Period>, by: (Timestamp, u64), met: &mut Met) {
        let (Kind::Streak { cycle, .. }, Some(period)) = (self.task.kind, period) else { return };
        let streak = &mut self.streak;
        let follows = streak.last.is_some_and(|last| last.end == period.start);
        met.broken += u64::from(!follows && streak.last.is_some());
        streak.current = if follows { streak.current + 1 } else { 1 };
        streak.longest = streak.longest.max(streak.current);
        streak.last = Some(period);
        let step = (streak.current - 1) % cycle + 1;
        if step == 1 {
            streak.cycle.clear();
        }
        met.cycles += u64::from(step == cycle);
        if self.task.milestone(step).is_some() {
            streak.cycle.insert(step, key.to_owned());
            if let Some(turn) = self.turns.get_mut(key) {
                turn.reach(step, by);
            }
            self.completed |= step == self.task.target();
        }
    }
}

/// Cuts a time to whole microseconds, as plaudit does; producers may write more digits.
fn cut(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Returns the amount by which an action moves a task, or `None` if the task does not listen to it,
/// its `where` does not hold, or the measure can't be taken.
fn credit(task: &Task, deed: Deed) -> Option<i64> {
    let credit = match (task.id, deed) {
        ("welcome" | "first-friends", Deed::ProfileCompleted)
        | ("first-friends" | "early-friends", Deed::FriendAdded)
        | ("sign-in", Deed::SignedIn) => 1,
        ("daily-gifts", Deed::GiftSent(Coins::Whole(coins) | Coins::ZeroFraction(coins)))
            if coins >= 10 =>
        {
            coins.min(500)
        }
        ("weekly-watching", Deed::StreamWatched(minutes)) if minutes >= 10 => 1,
        _ => return None,
    };
    Some(credit)
}
