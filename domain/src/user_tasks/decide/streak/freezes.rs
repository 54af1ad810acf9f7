//! Freezes: granted by hand, or reserved for a period that the user names.

use jiff::{SignedDuration, Timestamp};

use super::{afterwards, due, period_named, settle};
use crate::calendar::Period;
use crate::catalogue::{Catalogue, CatalogueTask};
use crate::ids::TaskId;
use crate::user_tasks::decide::{ActionContext, Rejection, UnmovedReason};
use crate::user_tasks::event::Event;
use crate::user_tasks::gap::StreakRules;
use crate::user_tasks::place::{Place, place};
use crate::user_tasks::state::{TaskState, UserTasks};

/// Reserves a freeze for the period that the action names. If that is refused, an event records
/// why.
pub(super) fn reserve(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    place: &Place<'_>,
) -> Result<Vec<Event>, UnmovedReason> {
    let action = context.action;
    let at = action.occurred_at;
    if action.data.get("task").and_then(|named| named.as_str()) != Some(task.id.as_str()) {
        return Err(UnmovedReason::OtherTask);
    }
    if !place.version.definition.window.contains(at) {
        return Err(UnmovedReason::OutsideWindow);
    }
    let zones = &context.state.zones;
    let mut events = due(&StreakRules::new(place, past, zones), at);
    let past = afterwards(past, &task.id, &events);
    let rules = StreakRules::new(place, past.as_ref(), zones);
    let period = period_named(task, place, past.as_ref(), zones, &action.data);
    let (task, version) = (task.id.clone(), place.version.version);
    Ok(match period.and_then(|period| check(&rules, &period, at).map(|()| period)) {
        Ok(period) => {
            events.push(Event::FreezeReserved { task, version, period, at });
            events
        }
        Err(reason) => vec![Event::ActionNotCounted { task, version, reason, at }],
    })
}

/// Checks that a freeze can be reserved for a period: a current or future one, or a missed one that
/// is not decided.
fn check(rules: &StreakRules<'_>, period: &Period, at: Timestamp) -> Result<(), String> {
    let key = &period.key;
    let is_decided = period.ends_at.is_some_and(|end| rules.decided_at(end) <= at)
        || rules.streak().is_some_and(|streak| period.starts_at <= streak.last.starts_at);
    if is_decided {
        return Err(format!("data.period: {key} is decided"));
    }
    let mut account = rules.account();
    if account.is_reserved(period) {
        return Err(format!("data.period: a freeze is already kept for {key}"));
    }
    rules.tail(at, &mut account);
    let reserved = rules.past.and_then(|past| past.freezes.as_ref()).map(|f| &f.reserved[..]);
    let is_open = |end: Option<Timestamp>| end.is_none_or(|end| rules.decided_at(end) > at);
    let kept = reserved.unwrap_or_default().iter().filter(|kept| is_open(kept.ends_at)).count();
    if account.left() <= i64::try_from(kept).unwrap_or(i64::MAX) {
        return Err("no freeze is left".to_owned());
    }
    Ok(())
}

/// Returns the events of freezes that are granted, after the events that are due. Grants no more
/// than there is room for.
pub(in crate::user_tasks::decide) fn grant(
    state: &UserTasks,
    request: &Grant<'_>,
    catalogue: &Catalogue,
) -> Result<Vec<Event>, Rejection> {
    let unknown = || Rejection::UnknownTask { task: request.task.clone() };
    let task = catalogue.task(request.task).ok_or_else(unknown)?;
    let mut events = settle(state, task, request.at);
    let past = afterwards(state.tasks.get(&task.id), &task.id, &events);
    let place = place(task, past.as_ref(), &state.zones, request.at);
    if !place.version.definition.kind.shape().counts_streaks {
        return Err(Rejection::NoStreak { task: task.id.clone() });
    }
    let rules = StreakRules::new(&place, past.as_ref(), &state.zones);
    let mut account = rules.account();
    rules.tail(request.at, &mut account);
    let room = (rules.freezes.max - account.left()).max(0);
    let count = request.count.clamp(0, room);
    // Each grant has an instant of its own, which distinguishes it from the others.
    let last =
        account.changes().iter().filter(|change| change.by > 0).map(|change| change.at).max();
    let next = last.and_then(|last| last.checked_add(SignedDuration::from_micros(1)).ok());
    events.push(Event::FreezesGranted {
        task: task.id.clone(),
        version: place.version.version,
        count,
        dropped: request.count.saturating_sub(count).max(0),
        freezes: account.left() + count,
        at: next.map_or(request.at, |next| next.max(request.at)),
        reason: request.reason.map(ToOwned::to_owned),
        by: request.by.map(ToOwned::to_owned),
    });
    Ok(events)
}

/// Freezes to grant.
pub(in crate::user_tasks::decide) struct Grant<'a> {
    pub task: &'a TaskId,
    pub count: i64,
    pub reason: Option<&'a str>,
    pub by: Option<&'a str>,
    pub at: Timestamp,
}
