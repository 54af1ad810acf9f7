//! Make-ups: an action fills a missed period.

use super::{By, advance, afterwards, due, fill, period_named};
use crate::calendar::Period;
use crate::catalogue::CatalogueTask;
use crate::ids::TaskId;
use crate::user_tasks::decide::correct::progress::Author;
use crate::user_tasks::decide::{ActionContext, UnmovedReason};
use crate::user_tasks::event::Event;
use crate::user_tasks::gap::StreakRules;
use crate::user_tasks::place::Place;
use crate::user_tasks::state::TaskState;

/// The field of `data` that names the period to fill.
pub(super) const PERIOD: &str = "period";

/// Fills the period that the action names. If that is refused, an event records why.
pub(super) fn make_up(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    place: &Place<'_>,
    look_back: i64,
) -> Result<Vec<Event>, UnmovedReason> {
    let at = context.action.occurred_at;
    let version = place.version.version;
    if !place.version.definition.window.contains(at) {
        return Err(UnmovedReason::OutsideWindow);
    }
    if let Some(too_late) = place.too_late(&task.id, past, at) {
        return Ok(vec![too_late]);
    }
    let not_counted = |reason| {
        let task = task.id.clone();
        Ok(vec![Event::ActionNotCounted { task, version, reason, at }])
    };
    let zones = &context.state.zones;
    let rules = StreakRules::new(place, past, zones);
    let period = period_named(task, place, past, zones, &context.action.data)
        .and_then(|period| check(context, &rules, place, &period, look_back).map(|()| period));
    let period = match period {
        Ok(period) => period,
        Err(reason) => return not_counted(reason),
    };
    let forgotten = || format!("data.period: {} is no longer remembered", period.key);
    match filled(context, task, past, place, &period, None) {
        Some(events) => Ok(events),
        None => not_counted(forgotten()),
    }
}

/// Returns the events of filling a missed period at the time of the action, or of the operator's
/// request if there is an author; `None` if too little of that time is remembered.
pub(super) fn filled(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    place: &Place<'_>,
    period: &Period,
    author: Option<Author<'_>>,
) -> Option<Vec<Event>> {
    let at = context.action.occurred_at;
    let zones = &context.state.zones;
    let mut events = due(&StreakRules::new(place, past, zones), at);
    let past = afterwards(past, &task.id, &events);
    let rules = StreakRules::new(place, past.as_ref(), zones);
    let streak = rules.streak()?;
    let filled = if period.starts_at < streak.last.starts_at {
        fill::fill(context, &rules, streak, period, By::MakeUp)?
    } else {
        advance(context, &rules, period, By::MakeUp)
    };
    events.push(Event::PeriodMadeUp {
        task: task.id.clone(),
        version: place.version.version,
        period: period.clone(),
        at,
        by: author.and_then(|author| author.by).map(ToOwned::to_owned),
        reason: author.map(|author| author.reason.to_owned()),
    });
    events.extend(filled);
    Some(events)
}

/// Checks that the period of a make-up can be filled now.
fn check(
    context: &ActionContext<'_>,
    rules: &StreakRules<'_>,
    place: &Place<'_>,
    period: &Period,
    look_back: i64,
) -> Result<(), String> {
    let named = format!("data.period: {}", period.key);
    check_missed(context, rules, place, period, &named)?;
    let mut later = std::iter::successors(Some(period.clone()), |later| rules.following(later));
    let reached = later.by_ref().take_while(|later| later.starts_at < place.period.starts_at);
    let back = reached.take(usize::try_from(look_back).unwrap_or(usize::MAX).saturating_add(1));
    if i64::try_from(back.count()).is_ok_and(|back| back <= look_back) {
        return Ok(());
    }
    Err(format!("{named} lies more than {look_back} periods back"))
}

/// Checks that a period has ended, was missed, and may join a streak. `named` is its name in the
/// reason of a refusal.
pub(super) fn check_missed(
    context: &ActionContext<'_>,
    rules: &StreakRules<'_>,
    place: &Place<'_>,
    period: &Period,
    named: &str,
) -> Result<(), String> {
    let locked_by = context.locked_by(&place.version.definition.requires);
    if !locked_by.is_empty() {
        let ids: Vec<_> = locked_by.iter().map(TaskId::as_str).collect();
        return Err(format!("the task is locked by {}", ids.join(", ")));
    }
    let Some(streak) = rules.streak() else {
        return Err("there is no step yet that a made-up one could join".to_owned());
    };
    if period.starts_at >= place.period.starts_at {
        return Err(format!("{named} has not ended"));
    }
    if streak.has_step(period) {
        return Err(format!("{named} was not missed"));
    }
    if period.starts_at < streak.first_at {
        return Err(format!("{named} lies before the user's first step"));
    }
    Ok(())
}
