//! The obstacles between a user and a task that stop every action of this moment. They are the
//! checks of `progress::advance` that need no action, in the same order.

use std::cell::RefCell;

use jiff::Timestamp;

use super::{is_in_audience, measure, missing};
use crate::calendar::{Period, PeriodKey};
use crate::catalogue::definition::{Audience, WhileLocked, Window};
use crate::catalogue::{CatalogueTask, Status};
use crate::expression::Allowance;
use crate::ids::{TaskId, UserId};
use crate::user_tasks::event::Event;
use crate::user_tasks::place::place;
use crate::user_tasks::state::UserTasks;

/// An obstacle that stops every action that a task would otherwise count for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// The task is paused.
    Paused,
    /// The task is retired.
    Retired,
    /// The user is not among those who have the task.
    OutsideAudience(Audience),
    /// The moment lies outside the window.
    OutsideWindow(Window),
    /// An action of a later time has closed the period.
    TooLate {
        /// The period.
        period: PeriodKey,
        /// The time of that action.
        watermark: Timestamp,
    },
    /// The period is completed.
    Completed(Period),
    /// The period already is a step of the streak.
    HasStep(Period),
    /// Prerequisites are missing.
    Locked(Vec<TaskId>),
    /// The period has used up its cap.
    CapUsedUp {
        /// The cap per period.
        cap: i64,
        /// The period.
        period: Period,
    },
}

/// The effect of an action of this moment on a task, if the task counts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The obstacles. Empty: the action counts.
    pub obstacles: Vec<Obstacle>,
    /// The missing prerequisites of a task that counts while it is locked. Milestones passed
    /// meanwhile are granted once these are completed.
    pub withheld_by: Vec<TaskId>,
    /// True if rewards of past actions wait for an operator, and with them those of new actions in
    /// this period.
    pub is_held: bool,
}

/// Finds the obstacles of a task for a user at `now`.
pub fn outlook(user: &UserId, state: &UserTasks, task: &CatalogueTask, now: Timestamp) -> Outlook {
    let past = state.tasks.get(&task.id);
    let place = place(task, past, &state.zones, now);
    let definition = &place.version.definition;
    let mut obstacles = Vec::new();
    match task.status {
        Status::Active => {}
        Status::Paused => obstacles.push(Obstacle::Paused),
        Status::Retired => obstacles.push(Obstacle::Retired),
    }
    let allowance = RefCell::new(Allowance::of_many_tasks());
    if !is_in_audience(user, state, place.version, &allowance) {
        obstacles.push(Obstacle::OutsideAudience(definition.audience.clone()));
    }
    if !definition.window.contains(now) {
        obstacles.push(Obstacle::OutsideWindow(definition.window));
    }
    if let Some(Event::ActionTooLate { period, watermark, .. }) =
        place.too_late(&task.id, past, now)
    {
        obstacles.push(Obstacle::TooLate { period, watermark });
    }
    if place.takes_no_more() {
        let period = place.period.clone();
        let counts_streaks = definition.kind.shape().counts_streaks;
        let completed = if counts_streaks { Obstacle::HasStep } else { Obstacle::Completed };
        obstacles.push(completed(period));
    }
    let mut withheld_by = missing(state, &definition.requires);
    if !withheld_by.is_empty() && definition.while_locked == WhileLocked::Skip {
        obstacles.push(Obstacle::Locked(std::mem::take(&mut withheld_by)));
    }
    if let Some(cap) = measure::cap_used_up(&place) {
        obstacles.push(Obstacle::CapUsedUp { cap, period: place.period.clone() });
    }
    Outlook { obstacles, withheld_by, is_held: place.open.is_some_and(|open| open.held) }
}
