//! How an action moves one task: what ordinary, periodic and continuous tasks share.

use serde_json::{Map, Value};

use super::{Judgement, UnmovedReason, streak};
use crate::calendar::Period;
use crate::catalogue::definition::{Kind, Measure, Objective, WhileLocked};
use crate::catalogue::{Catalogue, CatalogueTask, Status, TaskVersion};
use crate::expression::{EXACT_DOUBLE_MAX, EvaluationError};
use crate::user_tasks::event::{Event, Reward};
use crate::user_tasks::place::{Place, place};
use crate::user_tasks::state::{PeriodState, ReachedMilestone, TaskState};

/// Credits the action to a task, or says why it does not move it.
pub(super) fn advance(
    judgement: &Judgement<'_>,
    task: &CatalogueTask,
) -> Result<Vec<Event>, UnmovedReason> {
    if task.status != Status::Active {
        return Err(UnmovedReason::NotActive);
    }
    let action = judgement.action;
    let at = action.occurred_at;
    let past = judgement.state.tasks.get(&task.id);
    let place = place(task, past, &judgement.state.zones, at);
    if let Some(moved) = streak::other_than_step(judgement, task, past, &place) {
        return moved;
    }
    let definition = &place.version.definition;
    if !definition.objective.on.contains(&action.kind) {
        return Err(UnmovedReason::NotSubscribed(place.version.version));
    }
    if !definition.window.contains(at) {
        return Err(UnmovedReason::OutsideWindow);
    }
    check_filter(judgement, place.version)?;
    if let Some(too_late) = place.too_late(&task.id, past, at) {
        return Ok(vec![too_late]);
    }
    if place.open.is_some_and(|open| open.completed) {
        return Err(UnmovedReason::Completed(place.period.key.to_string()));
    }
    let locked_by = judgement.locked_by(&definition.requires);
    if !locked_by.is_empty() && definition.while_locked == WhileLocked::Skip {
        return Err(UnmovedReason::Locked(locked_by));
    }
    match credit(&definition.objective, &action.data, place.open.map_or(0, |open| open.progress)) {
        Ok(0) => Err(UnmovedReason::NothingToCredit),
        Ok(credited) => {
            Ok(credited_to(judgement, task, past, &place, credited, locked_by.is_empty()))
        }
        Err(reason) => {
            let version = place.version.version;
            Ok(vec![Event::ActionNotCounted { task: task.id.clone(), version, reason, at }])
        }
    }
}

/// Refuses the action unless the version's `where` holds for it.
fn check_filter(judgement: &Judgement<'_>, version: &TaskVersion) -> Result<(), UnmovedReason> {
    match version.filter() {
        None => Ok(()),
        Some(Err(invalid)) => Err(UnmovedReason::FilterFailed(invalid.to_string())),
        Some(Ok(filter)) => match filter.matches(&judgement.facts) {
            Ok(true) => Ok(()),
            Ok(false) => Err(UnmovedReason::FilteredOut),
            Err(EvaluationError::Missing(what)) => Err(UnmovedReason::FieldMissing(what)),
            Err(EvaluationError::Failed(why)) => Err(UnmovedReason::FilterFailed(why)),
        },
    }
}

/// What an action adds to a period that stands at `progress`, in units of the objective; what
/// can't be taken says why. Surplus beyond the target is dropped later.
fn credit(objective: &Objective, data: &Map<String, Value>, progress: i64) -> Result<i64, String> {
    let value = match &objective.measure {
        Measure::Count => 1,
        Measure::Sum(path) => integer_at(data, path)?,
        // No such version is published, see `catalogue/unsupported.rs`.
        Measure::Max(_) | Measure::Latest(_) | Measure::Distinct(_) | Measure::Days => {
            return Err("this measure is not supported yet".to_owned());
        }
    };
    let capped = objective.cap.per_action.map_or(value, |most| value.min(most));
    let room =
        objective.cap.per_period.map_or(i64::MAX, |most| most.saturating_sub(progress).max(0));
    let credited = capped.min(room);
    // Refused rather than wrapped, though the target would cut it: such a value is a mistake.
    progress.checked_add(credited).ok_or_else(|| "the sum is beyond 64 bits".to_owned())?;
    Ok(credited)
}

/// The integer at a path below `data`. A number with a zero fraction is an integer.
fn integer_at(data: &Map<String, Value>, path: &[String]) -> Result<i64, String> {
    let name = || format!("data.{}", path.join("."));
    let (first, rest) = path.split_first().ok_or_else(|| "no field is named".to_owned())?;
    let found = rest.iter().try_fold(data.get(first), |value, field| match value {
        Some(Value::Object(fields)) => Some(fields.get(field)),
        _ => None,
    });
    let Some(Some(value)) = found else { return Err(format!("{} is missing", name())) };
    let Value::Number(number) = value else {
        return Err(format!("{} is not an integer", name()));
    };
    let beyond = || format!("{} is beyond 64 bits", name());
    let integer = match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer,
        (None, _) if number.is_u64() => return Err(beyond()),
        (None, Some(float)) if float.fract() != 0.0 => {
            return Err(format!("{} is not an integer", name()));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the value has no fraction and fits")]
        (None, Some(float)) if float.abs() < EXACT_DOUBLE_MAX => float as i64,
        // 2^63 is the first float that is too large for an integer.
        (None, Some(float)) if float.abs() < 9_223_372_036_854_775_808.0 => {
            return Err(format!(
                "{} was sent with a fraction or an exponent and is not exact beyond 2^53; send it as a \
                 plain integer",
                name()
            ));
        }
        _ => return Err(beyond()),
    };
    if integer < 0 { Err(format!("{} is negative", name())) } else { Ok(integer) }
}

/// The facts of a credited action: progress, and what it reaches.
fn credited_to(
    judgement: &Judgement<'_>,
    task: &CatalogueTask,
    past: Option<&TaskState>,
    place: &Place<'_>,
    credited: i64,
    unlocked: bool,
) -> Vec<Event> {
    let at = judgement.action.occurred_at;
    let definition = &place.version.definition;
    let target = definition.objective.target;
    let progress = (place.open.map_or(0, |open| open.progress) + credited).min(target);
    let mut effects = if definition.kind != Kind::Continuous {
        let reached = place.open.map_or(&[][..], |open| &open.reached);
        reach(judgement, place.version, &place.period, progress, reached)
    } else if progress >= target {
        streak::step(judgement, place.version, past, &place.period)
    } else {
        vec![]
    };
    let is_earned =
        |e: &Event| matches!(e, Event::MilestoneReached { .. } | Event::TaskCompleted { .. });
    let withheld = !unlocked && effects.iter().any(is_earned);
    if withheld {
        effects.retain(|e| !is_earned(e));
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
    };
    effects.insert(0, progressed);
    effects
}

/// The milestones that `progress` reaches and none of `reached` is.
fn reach(
    judgement: &Judgement<'_>,
    version: &TaskVersion,
    period: &Period,
    progress: i64,
    reached: &[ReachedMilestone],
) -> Vec<Event> {
    let last_at = version.definition.last_at();
    let mut events = Vec::new();
    for milestone in version.definition.milestones.iter().filter(|m| m.at <= progress) {
        if !reached.iter().any(|r| r.at == milestone.at) {
            events.push(milestone_reached(judgement, version, period, milestone.at));
        }
    }
    // Once only: a completed period takes no more, and what it withheld is released once.
    if progress >= last_at {
        events.push(completed(judgement, version, period));
    }
    events
}

/// The fact that a milestone was reached by the action at hand, with what it grants.
pub(super) fn milestone_reached(
    judgement: &Judgement<'_>,
    version: &TaskVersion,
    period: &Period,
    at: i64,
) -> Event {
    let definition = &version.definition;
    let reached_at = judgement.action.occurred_at;
    let lines = definition.milestones.iter().find(|m| m.at == at).map_or(&[][..], |m| &m.rewards);
    let grant = |line| {
        let user = &judgement.action.user;
        Reward::new(user, &definition.id, version.version, &period.key, at, line, reached_at)
    };
    Event::MilestoneReached {
        task: definition.id.clone(),
        version: version.version,
        period: period.clone(),
        milestone: at,
        at: reached_at,
        mode: definition.claim.mode,
        rewards: lines.iter().filter_map(grant).collect(),
    }
}

/// The fact that the last milestone was reached by the action at hand.
pub(super) fn completed(
    judgement: &Judgement<'_>,
    version: &TaskVersion,
    period: &Period,
) -> Event {
    Event::TaskCompleted {
        task: version.definition.id.clone(),
        version: version.version,
        period: period.key.clone(),
        at: judgement.action.occurred_at,
    }
}

/// What was earned while the task was locked and is due now that it is not, beside what the action
/// itself moved or released: `so_far`.
pub(super) fn release(
    judgement: &Judgement<'_>,
    task: &CatalogueTask,
    so_far: &[Event],
    catalogue: &Catalogue,
) -> Vec<Event> {
    let Some(past) = judgement.state.tasks.get(&task.id) else { return vec![] };
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
    let withheld = past.periods.iter().filter(|p| p.withheld && !is_done(p));
    let due = withheld.flat_map(|open| {
        let version = catalogue.version(&task.id, open.version).unwrap_or(task.current());
        if !judgement.locked_by(&version.definition.requires).is_empty() {
            return vec![];
        }
        match open.withheld_step {
            Some(step) => streak::reach(judgement, version, &open.period, step),
            None => reach(judgement, version, &open.period, open.progress, &open.reached),
        }
    });
    due.collect()
}
