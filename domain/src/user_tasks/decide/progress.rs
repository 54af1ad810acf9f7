//! Progress of one task by one action: the part that all kinds share.

use super::measure::{Cause, Credit, NotCredited, credit};
use super::{ActionContext, UnmovedReason};
use crate::calendar::Period;
use crate::catalogue::definition::{BackfillRewards, WhileLocked};
use crate::catalogue::{Catalogue, CatalogueTask, Status, TaskVersion};
use crate::expression::EvaluationError;
use crate::user_tasks::event::{Earned, Event};
use crate::user_tasks::place::{Place, place};
use crate::user_tasks::seen::NewlySeen;
use crate::user_tasks::state::{OPEN_PERIODS_MAX, PeriodState, ReachedMilestone, TaskState};
use crate::user_tasks::terms::ClaimTerms;

/// Credits the action, or a completion that it caused, to a task. The error is the reason why the
/// task does not move.
pub(super) fn advance(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    cause: Cause<'_>,
) -> Result<Vec<Event>, UnmovedReason> {
    if task.status != Status::Active {
        return Err(UnmovedReason::NotActive);
    }
    let action = context.action;
    let at = action.occurred_at;
    let place = place(task, past, &context.state.zones, at);
    let definition = &place.version.definition;
    let outside = UnmovedReason::OutsideAudience(place.version.version);
    let acted = match cause {
        Cause::Action => definition.kind.rules().act(context, task, past, &place),
        Cause::Completion(_) => None,
    };
    if let Some(moved) = acted {
        let is_elsewhere = moved == Err(UnmovedReason::OtherTask);
        let is_allowed = is_elsewhere || context.is_in_audience(place.version);
        return if is_allowed { moved } else { Err(outside) };
    }
    let counts = match cause {
        Cause::Action => definition.objective.on.contains(&action.kind),
        Cause::Completion(of) => definition.objective.completions_of.contains(of),
    };
    if !counts {
        return Err(UnmovedReason::NotSubscribed(place.version.version));
    }
    if !context.is_in_audience(place.version) {
        return Err(outside);
    }
    if !definition.window.contains(at) {
        return Err(UnmovedReason::OutsideWindow);
    }
    check_filter(context, place.version)?;
    if let Some(too_late) = place.too_late(&task.id, past, at) {
        return Ok(vec![too_late]);
    }
    if place.takes_no_more() {
        return Err(UnmovedReason::Completed(place.period.key.to_string()));
    }
    let locked_by = context.locked_by(&definition.requires);
    if !locked_by.is_empty() && definition.while_locked == WhileLocked::Skip {
        return Err(UnmovedReason::Locked(locked_by));
    }
    let credited = match place.open {
        None if past.is_some_and(|past| past.holds_all_it_can(at)) => {
            Err(NotCredited::NotMeasured(no_room()))
        }
        _ => credit(&place, past, &context.state.zones, action, cause),
    };
    match credited {
        Ok(credit) => Ok(apply_credit(context, task, past, &place, credit, locked_by.is_empty())),
        Err(NotCredited::NoChange(reason)) => Err(reason),
        Err(NotCredited::NotMeasured(reason)) => {
            let version = place.version.version;
            Ok(vec![Event::ActionNotCounted { task: task.id.clone(), version, reason, at }])
        }
    }
}

/// The reason why an action opens no further period.
fn no_room() -> String {
    format!(
        "{OPEN_PERIODS_MAX} periods of the task are open or withhold something, the most there can be"
    )
}

/// Refuses the action unless the version's `where` holds for it.
fn check_filter(context: &ActionContext<'_>, version: &TaskVersion) -> Result<(), UnmovedReason> {
    let number = version.version;
    match version.filter() {
        None => Ok(()),
        Some(Err(invalid)) => Err(UnmovedReason::FilterFailed(number, invalid.to_string())),
        Some(Ok(filter)) => match context.matches(filter) {
            Ok(true) => Ok(()),
            Ok(false) => Err(UnmovedReason::FilteredOut(number)),
            Err(EvaluationError::Missing(what)) => Err(UnmovedReason::FieldMissing(number, what)),
            Err(EvaluationError::Failed(why)) => Err(UnmovedReason::FilterFailed(number, why)),
        },
    }
}

/// Returns the events of a credited action: its progress, and the milestones it reaches.
pub(super) fn apply_credit(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    place: &Place<'_>,
    credit: Credit,
    unlocked: bool,
) -> Vec<Event> {
    let at = context.action.occurred_at;
    let definition = &place.version.definition;
    let target = definition.objective.target;
    let Credit { credited, progress, surplus, dropped, seen } = credit;
    let mut effects = if place.open.is_some_and(|open| open.completed && !open.withheld) {
        // All of it is carried over, and reaches nothing here.
        vec![]
    } else {
        definition.kind.rules().reach(context, place, past, progress)
    };
    // Held milestones stay held until they are released, whatever is added meanwhile.
    let holds = context.rewards_of(&task.id) == BackfillRewards::Hold
        || place.open.is_some_and(|open| open.held);
    let withheld = (holds || !unlocked) && withhold(&mut effects);
    let held = holds && withheld;
    let (mut latest, mut value, mut day, mut completion_of) = (false, None, None, None);
    match seen {
        None => {}
        Some(NewlySeen::Latest(_)) => latest = true,
        Some(NewlySeen::Value(seen)) => value = Some(seen),
        Some(NewlySeen::Day(seen)) => day = Some(seen),
        Some(NewlySeen::Completion(of)) => completion_of = Some(of),
    }
    let progressed = Event::ProgressRecorded {
        task: task.id.clone(),
        version: place.version.version,
        period: place.period.clone(),
        closes_at: place.closes_at.filter(|closes| Some(*closes) != place.period.ends_at),
        credited,
        progress,
        target,
        at,
        withheld,
        held,
        carried: place.carried,
        surplus,
        dropped,
        latest,
        value,
        day,
        completion_of,
    };
    effects.insert(0, progressed);
    effects
}

/// Removes milestones and completions, which wait while the task is locked. Returns true if there
/// were any.
pub(super) fn withhold(effects: &mut Vec<Event>) -> bool {
    let before = effects.len();
    effects.retain(|e| !matches!(e, Event::MilestoneReached { .. } | Event::TaskCompleted { .. }));
    effects.len() < before
}

/// Returns the events of the milestones that `progress` reaches and `reached` does not hold, and of
/// the completion.
pub(crate) fn reach(
    context: &ActionContext<'_>,
    version: &TaskVersion,
    period: &Period,
    progress: i64,
    reached: &[ReachedMilestone],
) -> Vec<Event> {
    let last_at = version.definition.last_at();
    let mut events = Vec::new();
    for milestone in version.definition.milestones.iter().filter(|m| m.at <= progress) {
        if !reached.iter().any(|r| r.at == milestone.at) {
            events.push(milestone_reached(context, version, period, milestone.at));
        }
    }
    // Once only: a completed period takes no more, and releases once what it withheld. A period
    // that was corrected to less may come here again.
    let was_completed = |r: &ReachedMilestone| r.at == last_at && r.version == version.version;
    if progress >= last_at && !reached.iter().any(was_completed) {
        events.push(completed(context, version, period));
    }
    events
}

/// Returns the event of a milestone that the action at hand reached, with its rewards.
pub(super) fn milestone_reached(
    context: &ActionContext<'_>,
    version: &TaskVersion,
    period: &Period,
    at: i64,
) -> Event {
    let definition = &version.definition;
    let reached_at = context.action.occurred_at;
    let lines = match context.rewards_of(&definition.id) {
        BackfillRewards::None => &[][..],
        BackfillRewards::Grant | BackfillRewards::Hold => {
            definition.milestones.iter().find(|m| m.at == at).map_or(&[][..], |m| &m.rewards)
        }
    };
    let grant = |line| {
        let earned = Earned {
            user: &context.action.user,
            task: &definition.id,
            version: version.version,
            period: &period.key,
            milestone: at,
            reached_at,
        };
        earned.reward(line, context.seed)
    };
    let terms = match lines {
        [] => ClaimTerms::default(),
        _ => ClaimTerms::new(definition, period, context.claimable_from()),
    };
    Event::MilestoneReached {
        task: definition.id.clone(),
        version: version.version,
        period: period.clone(),
        milestone: at,
        at: reached_at,
        mode: definition.claim.mode,
        rewards: lines.iter().map(grant).collect(),
        terms,
        budgeted: None,
    }
}

/// Returns the event of the last milestone, reached by the action at hand.
pub(super) fn completed(
    context: &ActionContext<'_>,
    version: &TaskVersion,
    period: &Period,
) -> Event {
    Event::TaskCompleted {
        task: version.definition.id.clone(),
        version: version.version,
        period: period.key.clone(),
        at: context.action.occurred_at,
    }
}

/// Grants the milestones that were passed while the task was locked. `so_far` holds the events that
/// this action has already produced.
pub(super) fn release(
    context: &ActionContext<'_>,
    task: &CatalogueTask,
    so_far: &[Event],
    catalogue: &Catalogue,
) -> Vec<Event> {
    let Some(past) = context.state.tasks.get(&task.id) else { return vec![] };
    // An operator may release what the backfill of a stopped task holds; nothing else moves that
    // task.
    let is_released_by_hand =
        |event: &Event| matches!(event, Event::BackfillReleased { task: of, .. } if *of == task.id);
    if task.status != Status::Active && !so_far.iter().any(is_released_by_hand) {
        return vec![];
    }
    let is_done = |p: &PeriodState| {
        so_far.iter().any(|event| match event {
            Event::ProgressRecorded { task: of, period, .. }
            | Event::MilestoneReached { task: of, period, .. } => {
                *of == task.id && period.key == p.period.key
            }
            Event::TaskCompleted { task: of, period, .. } => {
                *of == task.id && *period == p.period.key
            }
            _ => false,
        })
    };
    let withheld = past.periods.iter().filter(|p| p.withheld && !p.held && !is_done(p));
    let due = withheld.flat_map(|open| {
        let version = catalogue.version(&task.id, open.version).unwrap_or(task.current());
        let is_locked = !context.locked_by(&version.definition.requires).is_empty();
        if is_locked || !context.is_in_audience(version) {
            return vec![];
        }
        version.definition.kind.rules().release(context, version, open)
    });
    due.collect()
}
