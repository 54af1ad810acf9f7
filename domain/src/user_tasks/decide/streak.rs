//! Continuous tasks: periods in a row.
//!
//! Steps, make-ups and requests for freezes come from actions; freezes are granted, and missed
//! periods restored, by hand. Decisions about missed periods are recorded before each of them, and
//! by [`settle`].

mod fill;
mod freezes;
mod make_up;
mod restore;

use jiff::{SignedDuration, Timestamp};

use super::progress::{completed, milestone_reached};
use super::{ActionContext, UnmovedReason};
use crate::calendar::{Period, PeriodKey, Zones};
use crate::catalogue::definition::FREEZE_REQUESTED;
use crate::catalogue::{CatalogueTask, Status, TaskVersion};
use crate::ids::TaskId;
use crate::user_tasks::event::{Event, Protection};
use crate::user_tasks::gap::{Gap, StreakRules, Until};
use crate::user_tasks::place::{Place, place};
use crate::user_tasks::state::{StreakState, TaskState, UserTasks};

pub(super) use freezes::{Grant, grant};
pub(super) use restore::restore;

/// Handles an action that is not a step: a make-up or a request for a freeze. `None` if it is
/// neither.
pub(crate) fn other_than_step(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    place: &Place<'_>,
) -> Option<Result<Vec<Event>, UnmovedReason>> {
    let definition = &place.version.definition;
    let kind = &context.action.kind;
    let rules = definition.streak.as_ref()?;
    if rules.takes_freeze_requests() && kind == FREEZE_REQUESTED {
        return Some(freezes::reserve(context, task, past, place));
    }
    let make_up = rules.make_up.as_ref().filter(|make_up| make_up.on == *kind)?;
    // If steps and make-ups come by one type of action, a make-up is the one that names its period.
    let is_step = definition.objective.on.contains(kind)
        && !context.action.data.contains_key(make_up::PERIOD);
    (!is_step).then(|| make_up::make_up(context, task, past, place, make_up.look_back))
}

/// Returns the events that are due about the streak of a task: which missed periods were protected,
/// and whether it broke. The call does not change the fate of the streak; the next step records
/// what is not recorded by then. None for a retired task: its streaks never go on, so none of them breaks.
pub fn settle(state: &UserTasks, task: &CatalogueTask, as_of: Timestamp) -> Vec<Event> {
    if !goes_on(task) {
        return vec![];
    }
    let past = state.tasks.get(&task.id);
    let place = place(task, past, &state.zones, as_of);
    let kind = place.version.definition.kind;
    kind.rules().settle(&place, past, &state.zones, as_of)
}

/// True if the streaks of a task may still go on or break.
fn goes_on(task: &CatalogueTask) -> bool {
    task.status != Status::Retired
}

/// The delay after which the sweeper records a decision about a streak. Actions arrive later than
/// they occur: without it an event could say that a streak broke whose step is on its way. Screens
/// do not wait for it.
pub const SWEPT_AFTER: SignedDuration = SignedDuration::from_mins(5);

/// Returns the events that a sweep records about the streak of a task.
pub(super) fn sweep(state: &UserTasks, task: &CatalogueTask, as_of: Timestamp) -> Vec<Event> {
    let decided_by = as_of.checked_sub(SWEPT_AFTER);
    decided_by.map_or_else(|_| vec![], |as_of| settle(state, task, as_of))
}

/// The time at which a sweep has something to record about the streak of a task, by the rules of
/// now and if the user does nothing more; `None`: never.
pub fn swept_at(state: &UserTasks, task: &CatalogueTask) -> Option<Timestamp> {
    let past = state.tasks.get(&task.id)?;
    let ends_at = past.streak.as_ref()?.last.ends_at?;
    if !goes_on(task) {
        return None;
    }
    let place = place(task, Some(past), &state.zones, ends_at);
    let rules = place.version.definition.kind.rules();
    rules.settles_at(&place, Some(past), &state.zones)?.checked_add(SWEPT_AFTER).ok()
}

/// Returns the events that are due as of a moment.
pub(crate) fn due(rules: &StreakRules<'_>, as_of: Timestamp) -> Vec<Event> {
    let gap = rules.tail(as_of, &mut rules.account());
    gap.map_or_else(Vec::new, |gap| rules.unrecorded(&gap))
}

/// Returns the events of a period that counts: the decisions about missed periods before it, the
/// step, and the milestones it reaches. At most one step per period: a completed period takes no
/// more actions.
pub(crate) fn step(
    context: &ActionContext<'_>,
    place: &Place<'_>,
    past: Option<&TaskState>,
) -> Vec<Event> {
    let period = &place.period;
    let rules = StreakRules::new(place, past, &context.state.zones);
    match rules.streak() {
        Some(streak) if streak.has_step(period) => vec![],
        Some(streak) if period.starts_at < streak.last.starts_at => {
            fill::fill(context, &rules, streak, period, By::Step).unwrap_or_default()
        }
        _ => advance(context, &rules, period, By::Step),
    }
}

/// The way in which a period comes to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// By an action that occurred in the period. A freeze that was used for it is given back.
    Step,
    /// By a later action. A freeze that was used for the period, or for a later one, stays used.
    MakeUp,
}

/// Returns the events of a step after all others.
fn advance(
    context: &ActionContext<'_>,
    rules: &StreakRules<'_>,
    period: &Period,
    by: By,
) -> Vec<Event> {
    let version = rules.version;
    let definition = &version.definition;
    let at = context.action.occurred_at;
    let before = rules.streak();
    let mut account = rules.account();
    let used = if by == By::MakeUp { rules.tail(at, &mut account) } else { None };
    let mut gap = before.map_or_else(Gap::default, |streak| {
        rules.gap(&streak.last, Until::Step(period.starts_at), &mut account)
    });
    let mut events = rules.unrecorded(&gap);
    gap.protected.extend(used.into_iter().flat_map(|tail| tail.protected).filter(|protected| {
        protected.by == Protection::Freeze && protected.period.starts_at >= period.starts_at
    }));
    let going_on = before.filter(|_| gap.broke_at.is_none());
    let current = going_on.map_or(0, |streak| streak.current).saturating_add(1);
    let step = rules.step(current);
    events.push(Event::StreakAdvanced {
        task: definition.id.clone(),
        version: version.version,
        period: period.clone(),
        current,
        longest: before.map_or(0, |streak| streak.longest).max(current),
        step,
        at,
        freezes: account.exists().then(|| account.left()),
        protected: gap.protected,
        fillable_from: fillable_from(rules, before, period, at),
        rejudged: None,
    });
    // Filling a period may have moved the streak on to this step before.
    let is_granted = |streak: &StreakState| step > 1 && streak.has_reached(step);
    if !going_on.is_some_and(is_granted) {
        events.extend(reach(context, version, period, step));
    }
    // The last milestone may have moved below the current step. A locked task is completed by the
    // release of its milestones, not by every further step.
    if step > definition.last_at()
        && rules.past.is_none_or(|past| past.completed_at.is_none())
        && context.locked_by(&definition.requires).is_empty()
    {
        events.push(completed(context, version, period));
    }
    events
}

/// The instant before which no period can be filled any more. While there is no gap, nothing needs
/// to be forgotten, so nothing is looked up.
fn fillable_from(
    rules: &StreakRules<'_>,
    before: Option<&StreakState>,
    period: &Period,
    at: Timestamp,
) -> Option<Timestamp> {
    let only = before.and_then(|streak| match &streak.stretches[..] {
        [only] if only.last.ends_at == period.starts_at => only.from,
        _ => None,
    });
    if rules.is_fillable() { only.or_else(|| rules.fillable_from(period, at)) } else { None }
}

/// Returns the events that the step of `period` reaches.
pub(crate) fn reach(
    context: &ActionContext<'_>,
    version: &TaskVersion,
    period: &Period,
    step: i64,
) -> Vec<Event> {
    let definition = &version.definition;
    let mut events = Vec::new();
    if definition.milestones.iter().any(|m| m.at == step) {
        events.push(milestone_reached(context, version, period, step));
    }
    if step == definition.last_at() {
        events.push(completed(context, version, period));
    }
    events
}

impl StreakState {
    /// True if a step was reached in the running cycle.
    fn has_reached(&self, step: i64) -> bool {
        let in_cycle = self.reached.iter().filter(|reached| reached.starts_at >= self.cycle_from);
        in_cycle.map(|reached| reached.milestone.at).any(|at| at == step)
    }
}

impl StreakRules<'_> {
    /// Returns the events about missed periods after the last step that are not recorded yet.
    fn unrecorded(&self, gap: &Gap) -> Vec<Event> {
        let Some(streak) = self.streak() else { return vec![] };
        let recorded = streak.recorded.unwrap_or_default();
        let (task, version) = (&self.version.definition.id, self.version.version);
        let is_unrecorded = |ends_at: Option<Timestamp>| ends_at > recorded.protected_until;
        let unrecorded =
            gap.protected.iter().filter(|protected| is_unrecorded(protected.period.ends_at));
        let mut events: Vec<_> = unrecorded
            .filter_map(|protected| {
                Some(Event::StreakProtected {
                    task: task.clone(),
                    version,
                    period: protected.period.clone(),
                    by: protected.by,
                    at: self.decided_at(protected.period.ends_at?),
                })
            })
            .collect();
        // A recorded break is void once an amnesty protects periods after it.
        if let Some(at) = gap.broke_at.filter(|_| !recorded.broken || !events.is_empty()) {
            events.push(Event::StreakBroken {
                task: task.clone(),
                version,
                length: streak.current,
                last: streak.last.key.clone(),
                at,
            });
        }
        events
    }
}

/// Returns the state of the task after these events.
fn afterwards(past: Option<&TaskState>, task: &TaskId, events: &[Event]) -> Option<TaskState> {
    if events.is_empty() {
        return past.cloned();
    }
    let mut state = UserTasks::default();
    state.tasks.extend(past.map(|past| (task.clone(), past.clone())));
    for event in events {
        super::evolve(&mut state, event);
    }
    state.tasks.remove(task)
}

/// Returns the period that an action names, with the bounds that were fixed if it opened.
fn period_named(
    task: &CatalogueTask,
    place: &Place<'_>,
    past: Option<&TaskState>,
    zones: &Zones,
    data: &serde_json::Map<String, serde_json::Value>,
) -> Result<Period, String> {
    let key = data.get(make_up::PERIOD).ok_or("data.period is missing")?;
    let key = key.as_str().ok_or("data.period is not a text")?;
    let unknown = || format!("data.period: {key:?} is not a period of this task");
    period_of(task, place, past, zones, &key.to_owned().into()).ok_or_else(unknown)
}

/// Returns the period of a key, with the bounds that were fixed if it opened; `None` if the task
/// has no such period.
fn period_of(
    task: &CatalogueTask,
    place: &Place<'_>,
    past: Option<&TaskState>,
    zones: &Zones,
    key: &PeriodKey,
) -> Option<Period> {
    let named = place.version.period_named(key, zones)?;
    let fitted = |start: Timestamp| self::place(task, past, zones, start).period;
    let Some(first) = named.starts_at.map(fitted) else { return Some(named) };
    if first.key == named.key {
        return Some(first);
    }
    // The period before reaches into this one, because days begin at another hour by now.
    match first.ends_at.filter(|end| Some(*end) < named.ends_at) {
        None => Some(named),
        Some(start) => {
            let later = Some(fitted(start)).filter(|later| later.key == named.key);
            Some(later.unwrap_or(Period { starts_at: Some(start), ..named }))
        }
    }
}
