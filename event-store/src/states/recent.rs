//! A cache of users whom this process changed lately, so that the next batch need not read their
//! rows.
//!
//! Every writer holds the lock of its lane until commit. If a process finds the head of a lane
//! where its own last commit left it, no other process has written there, and everything cached for
//! the lane is current. So one comparison per lane of a batch is exact, and users need no check of
//! their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;
use plaudit_domain::calendar::Zones;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_domain::user_tasks::{PeriodState, Seen, StreakState, TaskState, UserTasks};
use serde_json::{Map, Value};

use super::{LoadedState, NeededUsers};
use crate::batch::ChangedUser;
use crate::lanes::{LaneHead, Locked};

/// The estimated memory limit for all lanes together, in bytes. An ordinary user with one task
/// takes about 750 bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// Users above this size are not cached: those with long lists of days or large attributes.
const USER_BYTES_MAX: usize = 16 * 1024;

/// The estimated size of a user without tasks, including unused capacity of the map.
const USER_BYTES: usize = 200;

/// The estimated overhead of a text or list behind a pointer, in a task or period.
const PART_BYTES: usize = 64;

/// Cached users by lane. Shared by the workers of a process; each lane is used by the holder of its
/// lock.
#[derive(Debug)]
pub struct RecentUsers {
    lanes: Vec<Mutex<RecentLane>>,
}

/// The head of a lane as this process left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    next_position: i64,
    last_writer: i64,
    tables: i64,
}

/// The users of one lane, in two halves: those used since the last swap, and those used before.
/// When the first half is full it replaces the second, whose users are dropped.
#[derive(Debug, Default)]
struct RecentLane {
    mark: Option<Mark>,
    recent: HashMap<UserId, RecentUser>,
    before: HashMap<UserId, RecentUser>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct RecentUser {
    sequence: i64,
    counted: bool,
    /// `None` for a user of whom nothing but actions is known.
    details: Option<Box<Details>>,
    /// The tasks that were needed or touched, by id; `None` for a task without a row. A list,
    /// because a map takes 400 bytes for its first entry.
    tasks: Vec<(TaskId, Option<Box<TaskState>>)>,
    /// The estimated size, set when the user is stored.
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Details {
    zones: Zones,
    attributes: Map<String, Value>,
    updated_at: Option<Timestamp>,
}

impl Mark {
    fn of(head: &LaneHead, tables: i64) -> Self {
        Self { next_position: head.next_position, last_writer: head.last_writer, tables }
    }
}

impl RecentUsers {
    /// Creates an empty cache.
    pub fn new(lane_count: LaneCount) -> Self {
        let lanes = (0..lane_count.get()).map(|_| Mutex::default()).collect();
        Self { lanes }
    }

    /// Drops the users of lanes that another process has written to. Call it under the locks,
    /// before any cached user of these lanes is read.
    pub fn open(&self, locked: &Locked) {
        for (lane, head) in &locked.heads {
            let Some(mut kept) = self.lane(*lane) else { continue };
            let mark = Some(Mark::of(head, locked.tables));
            // An append of stock postgres-es moves the head too.
            if kept.mark != mark {
                *kept = RecentLane { mark, ..RecentLane::default() };
            }
        }
    }

    /// Returns a cached user, and the tasks among `needed` that must be read. `None` if the user is
    /// not cached.
    pub(super) fn get(
        &self,
        lane: Lane,
        user: &UserId,
        needed: &BTreeSet<TaskId>,
    ) -> Option<(LoadedState, Vec<TaskId>)> {
        let mut kept = self.lane(lane)?;
        let kept = kept.user(user)?;
        let mut state = match &kept.details {
            Some(details) => details.user(),
            None => UserTasks::default(),
        };
        state.counted = kept.counted;
        let mut unknown = Vec::new();
        for task in needed {
            match kept.task(task) {
                Some(Some(found)) => _ = state.tasks.insert(task.clone(), (**found).clone()),
                Some(None) => {}
                None => unknown.push(task.clone()),
            }
        }
        let (sequence, has_row) = (kept.sequence, true);
        Some((LoadedState { sequence, state, has_row, ..LoadedState::default() }, unknown))
    }

    /// Caches the users that a batch has committed. `locked` is the state found under its locks,
    /// `next_position` the head that it left in each lane, and `needed` the tasks that it loaded.
    pub fn keep(
        &self,
        locked: &Locked,
        next_position: impl Fn(Lane) -> i64,
        changed: Vec<ChangedUser>,
        needed: &NeededUsers,
    ) {
        let limit = BYTES_MAX / self.lanes.len().max(1) / 2;
        for (lane, head) in &locked.heads {
            let Some(mut kept) = self.lane(*lane) else { continue };
            let mut mark = Mark::of(head, locked.tables);
            if kept.mark != Some(mark) {
                *kept = RecentLane::default();
            }
            let next = next_position(*lane);
            if next > head.next_position {
                (mark.next_position, mark.last_writer) = (next, locked.transaction);
            }
            kept.mark = Some(mark);
        }
        for user in changed {
            let Some(mut kept) = self.lane(user.lane) else { continue };
            let ChangedUser { lane, user, state, sequence, refolded, .. } = user;
            let key = (lane, user);
            let asked = needed.get(&key);
            if refolded {
                // The cached state may have been the wrong one.
                kept.forget(&key.1);
            }
            kept.put(key.1, RecentUser::new(state, sequence, asked), limit);
        }
    }

    fn lane(&self, lane: Lane) -> Option<MutexGuard<'_, RecentLane>> {
        let kept = self.lanes.get(usize::try_from(lane.0).ok()?)?;
        Some(kept.lock().expect("nothing panics while it holds the lock"))
    }
}

impl Details {
    fn user(&self) -> UserTasks {
        UserTasks {
            zones: self.zones.clone(),
            attributes: self.attributes.clone(),
            updated_at: self.updated_at,
            ..UserTasks::default()
        }
    }
}

impl RecentLane {
    fn user(&mut self, user: &UserId) -> Option<&RecentUser> {
        if let Some((user, kept)) = self.before.remove_entry(user) {
            self.bytes += kept.bytes;
            self.recent.insert(user, kept);
        }
        self.recent.get(user)
    }

    fn forget(&mut self, user: &UserId) -> Option<RecentUser> {
        let forgotten = self.recent.remove(user);
        let bytes = forgotten.as_ref().map_or(0, |user| user.bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        forgotten.or_else(|| self.before.remove(user))
    }

    fn put(&mut self, user: UserId, mut kept: RecentUser, limit: usize) {
        if let Some(known) = self.forget(&user) {
            for (task, state) in known.tasks {
                if let Err(place) = kept.place(&task) {
                    kept.tasks.insert(place, (task, state));
                }
            }
        }
        kept.bytes = kept.weigh();
        if kept.bytes > USER_BYTES_MAX {
            return;
        }
        if self.bytes + kept.bytes > limit {
            self.before = std::mem::take(&mut self.recent);
            self.bytes = 0;
        }
        self.bytes += kept.bytes;
        self.recent.insert(user, kept);
    }
}

impl RecentUser {
    fn new(state: UserTasks, sequence: i64, asked: Option<&BTreeSet<TaskId>>) -> Self {
        // Loaded grants and milestones are only those that a claim or a delivery asked for. They
        // are read again each time.
        let UserTasks { zones, attributes, updated_at, counted, tasks, grants: _ } = state;
        let is_plain = zones == Zones::default() && attributes.is_empty() && updated_at.is_none();
        let details = (!is_plain).then(|| Box::new(Details { zones, attributes, updated_at }));
        let mut kept: BTreeMap<TaskId, Option<Box<TaskState>>> =
            asked.into_iter().flatten().map(|task| (task.clone(), None)).collect();
        for (task, mut state) in tasks {
            (state.claimable, state.waiting) = (Vec::new(), Vec::new());
            for open in &mut state.periods {
                if let Some(Seen::Values(values)) = &mut open.seen {
                    values.forget_chunks();
                }
            }
            kept.insert(task, Some(Box::new(state)));
        }
        Self { sequence, counted, details, tasks: kept.into_iter().collect(), bytes: 0 }
    }

    /// The index of a task in the list, or the index at which to insert it.
    fn place(&self, task: &TaskId) -> Result<usize, usize> {
        self.tasks.binary_search_by(|(known, _)| known.cmp(task))
    }

    fn task(&self, task: &TaskId) -> Option<&Option<Box<TaskState>>> {
        self.place(task).ok().map(|place| &self.tasks[place].1)
    }

    /// Estimates the size in bytes.
    fn weigh(&self) -> usize {
        let details = self.details.as_ref().map_or(0, |details| {
            PART_BYTES
                + details
                    .attributes
                    .iter()
                    .map(|(k, v)| PART_BYTES + k.len() + size(v))
                    .sum::<usize>()
        });
        let tasks = self.tasks.iter().filter_map(|(_, task)| task.as_deref());
        let tasks = tasks.map(task_bytes).sum::<usize>();
        USER_BYTES + details + tasks + self.tasks.len() * PART_BYTES
    }
}

fn task_bytes(task: &TaskState) -> usize {
    let periods = task.periods.iter().map(|period| {
        let seen = period.seen.as_ref().map_or(0, seen_bytes);
        size_of::<PeriodState>() + PART_BYTES + seen + period.reached.len() * PART_BYTES
    });
    let streak = task.streak.as_ref().map_or(0, |streak| {
        size_of::<StreakState>() + PART_BYTES * (1 + streak.reached.len() + streak.stretches.len())
    });
    let freezes = task
        .freezes
        .as_ref()
        .map_or(0, |freezes| PART_BYTES * (1 + freezes.granted.len() + freezes.changes.len()));
    size_of::<TaskState>() + periods.sum::<usize>() + streak + freezes
}

fn seen_bytes(seen: &Seen) -> usize {
    let kept = match seen {
        // The chunks of large sets are not cached.
        Seen::Values(values) if values.is_large() => 0,
        seen => seen.len(),
    };
    PART_BYTES + kept * 24
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(|v| PART_BYTES + size(v)).sum(),
        Value::Object(map) => map.iter().map(|(k, v)| PART_BYTES + k.len() + size(v)).sum(),
    }
}
