//! The amount that an action, or the completion of a task, is credited. Only this module
//! distinguishes the measures.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::UnmovedReason;
use crate::action::Action;
use crate::calendar::Zones;
use crate::catalogue::CatalogueTask;
use crate::catalogue::definition::{Cap, Measure};
use crate::expression::EXACT_DOUBLE_MAX;
use crate::ids::TaskId;
use crate::user_tasks::place::Place;
use crate::user_tasks::seen::{NewlySeen, SEEN_PER_PERIOD_MAX, SEEN_PER_TASK_MAX, Seen, ValueHash};
use crate::user_tasks::state::TaskState;

/// The cause of a task's progress.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause<'a> {
    /// The action itself.
    Action,
    /// The completion of another task by the action.
    Completion(&'a TaskId),
}

/// A credit to a period, and the period's figures after it.
pub(super) struct Credit {
    /// The amount added, caps applied; below zero if a `latest` value fell.
    pub credited: i64,
    /// At most the target.
    pub progress: i64,
    /// The amount beyond the target that is carried over.
    pub surplus: i64,
    /// The amount beyond the target that counts nowhere.
    pub dropped: i64,
    pub seen: Option<NewlySeen>,
}

/// The reason why nothing is credited.
pub(super) enum NotCredited {
    /// The action changes nothing. No event records it.
    NoChange(UnmovedReason),
    /// The measure can't be taken. An event records this reason.
    NotMeasured(String),
}

/// The figures of a period before it is credited.
struct Tally<'a> {
    /// The value so far: progress, and the amount beyond the target.
    value: i64,
    /// The part of `value` that the period itself was credited.
    own: i64,
    seen: Option<&'a Seen>,
    /// The number of values that all open periods of the task remember.
    seen_in_task: usize,
}

/// The value of a period after an action, and the part of the action to remember.
type Measured = Result<(i64, Option<NewlySeen>), NotCredited>;

/// Credits an action, or a completion that it caused, to the period in which the action occurred.
pub(super) fn credit(
    place: &Place<'_>,
    past: Option<&TaskState>,
    zones: &Zones,
    action: &Action,
    cause: Cause<'_>,
) -> Result<Credit, NotCredited> {
    let objective = &place.version.definition.objective;
    let tally = Tally::of(place, past);
    let integer = |path| integer_at(&action.data, path).map_err(NotCredited::NotMeasured);
    let at = action.occurred_at;
    let (value, seen) = match (cause, &objective.measure) {
        (Cause::Completion(task), _) => tally.count_once(NewlySeen::Completion(task.clone())),
        (Cause::Action, Measure::Count) => tally.add(1, objective.cap),
        (Cause::Action, Measure::Sum(path)) => tally.add(integer(path)?, objective.cap),
        (Cause::Action, Measure::Max(path)) => tally.raise(integer(path)?),
        (Cause::Action, Measure::Latest(path)) => tally.replace(integer(path)?, at),
        (Cause::Action, Measure::Distinct(path)) => {
            let value = countable_at(&action.data, path).map_err(NotCredited::NotMeasured)?;
            tally.count_once(NewlySeen::Value(ValueHash::of(value)))
        }
        (Cause::Action, Measure::Days) => {
            tally.count_once(NewlySeen::Day(place.version.day_at(at, zones)))
        }
    }?;
    let (progress, surplus) = divide(place, value);
    let dropped = value - progress - surplus;
    Ok(Credit { credited: value - tally.value, progress, surplus, dropped, seen })
}

/// Returns the values of an action that a task may have to look up among those counted: one for
/// each field whose distinct values a version counts.
pub fn distinct_values(task: &CatalogueTask, action: &Action) -> BTreeSet<ValueHash> {
    let objectives = task.versions.iter().map(|version| &version.definition.objective);
    let counting = objectives.filter(|objective| objective.on.contains(&action.kind));
    let values = counting.filter_map(|objective| match &objective.measure {
        Measure::Distinct(path) => countable_at(&action.data, path).ok(),
        _ => None,
    });
    values.map(ValueHash::of).collect()
}

/// Returns the cap per period of a task, if the period has used it up.
pub(super) fn cap_used_up(place: &Place<'_>) -> Option<i64> {
    Tally::of(place, None).used_up(place.version.definition.objective.cap)
}

/// Divides a value into progress and the amount beyond the target that is carried over.
fn divide(place: &Place<'_>, value: i64) -> (i64, i64) {
    let progress = value.min(place.version.definition.objective.target);
    (progress, if place.carries_over { value - progress } else { 0 })
}

impl Credit {
    /// A credit of 0: the value stays, and is compared with the target of the version in force.
    pub fn of_nothing(place: &Place<'_>) -> Self {
        let (progress, surplus) = divide(place, value_before(place));
        Self { credited: 0, progress, surplus, dropped: 0, seen: None }
    }
}

/// The value of a period so far: progress, and the amount beyond the target.
fn value_before(place: &Place<'_>) -> i64 {
    place.open.map_or(place.carried, |open| open.progress + open.surplus)
}

impl<'a> Tally<'a> {
    fn of(place: &Place<'a>, past: Option<&TaskState>) -> Self {
        let value = value_before(place);
        let open_periods = past.map_or(&[][..], |past| &past.periods);
        Self {
            value,
            own: value - place.carried,
            seen: place.open.and_then(|open| open.seen.as_ref()),
            seen_in_task: open_periods.iter().filter_map(|p| p.seen.as_ref()).map(Seen::len).sum(),
        }
    }

    /// Measures `count` and `sum`.
    fn add(&self, amount: i64, cap: Cap) -> Measured {
        let capped = cap.per_action.map_or(amount, |most| amount.min(most));
        if capped == 0 {
            return Err(NotCredited::NoChange(UnmovedReason::NothingToCredit));
        }
        if let Some(most) = self.used_up(cap) {
            return Err(NotCredited::NoChange(UnmovedReason::CapUsedUp(most)));
        }
        let room = cap.per_period.map_or(i64::MAX, |most| most.saturating_sub(self.own));
        let credited = capped.min(room);
        // Refused rather than wrapped, though the target would cut it: such a value is a mistake.
        let value = self.value.checked_add(credited);
        let beyond = || NotCredited::NotMeasured("the sum is beyond 64 bits".to_owned());
        Ok((value.ok_or_else(beyond)?, None))
    }

    /// Returns the cap per period, if the period has used it up.
    fn used_up(&self, cap: Cap) -> Option<i64> {
        cap.per_period.filter(|most| *most <= self.own)
    }

    /// Measures `max`.
    fn raise(&self, value: i64) -> Measured {
        if value <= self.value {
            let reason = UnmovedReason::NotHigher { value, highest: self.value };
            return Err(NotCredited::NoChange(reason));
        }
        Ok((value, None))
    }

    /// Measures `latest`. The time of an action is remembered even if its value does not change: an
    /// earlier action may still arrive, and must not replace it.
    fn replace(&self, value: i64, at: Timestamp) -> Measured {
        if let Some(Seen::Latest(latest)) = self.seen
            && (at < *latest || (at == *latest && value == self.value))
        {
            return Err(NotCredited::NoChange(UnmovedReason::NotLatest(*latest)));
        }
        Ok((value, Some(NewlySeen::Latest(at))))
    }

    /// Measures `distinct`, `days` and composites. A value seen before does not count again.
    fn count_once(&self, candidate: NewlySeen) -> Measured {
        if self.seen.is_some_and(|seen| seen.contains(&candidate)) {
            return Err(NotCredited::NoChange(UnmovedReason::CountedBefore));
        }
        if self.seen.map_or(0, Seen::len) >= SEEN_PER_PERIOD_MAX {
            let reason =
                format!("the period has counted {SEEN_PER_PERIOD_MAX} values, the most it can");
            return Err(NotCredited::NotMeasured(reason));
        }
        if self.seen_in_task >= SEEN_PER_TASK_MAX {
            let reason = format!(
                "the open periods of the task have counted {SEEN_PER_TASK_MAX} values, the most they can"
            );
            return Err(NotCredited::NotMeasured(reason));
        }
        Ok((self.value.saturating_add(1), Some(candidate)))
    }
}

/// Returns the value at a path below `data`, or the reason why it counts for nothing.
fn countable_at<'d>(data: &'d Map<String, Value>, path: &[String]) -> Result<&'d Value, String> {
    match value_at(data, path)? {
        Value::Null => Err(format!("{} is null", name_of(path))),
        value if holds_inexact(value) => Err(format!(
            "{} holds a number that was sent with a fraction or an exponent, or is beyond 64 bits, and is \
             not exact beyond 2^53; send it as a plain integer or as a text",
            name_of(path)
        )),
        value => Ok(value),
    }
}

/// True if a value is or holds a number that stands for its neighbours too: different numbers would
/// be taken for the same one.
fn holds_inexact(value: &Value) -> bool {
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().is_none_or(|float| float.abs() >= EXACT_DOUBLE_MAX)
        }
        Value::Array(items) => items.iter().any(holds_inexact),
        Value::Object(fields) => fields.values().any(holds_inexact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn value_at<'d>(data: &'d Map<String, Value>, path: &[String]) -> Result<&'d Value, String> {
    let (first, rest) = path.split_first().ok_or_else(|| "no field is named".to_owned())?;
    let found = rest.iter().try_fold(data.get(first), |value, field| match value {
        Some(Value::Object(fields)) => Some(fields.get(field)),
        _ => None,
    });
    found.flatten().ok_or_else(|| format!("{} is missing", name_of(path)))
}

fn name_of(path: &[String]) -> String {
    format!("data.{}", path.join("."))
}

/// Returns the integer at a path below `data`. A number with a zero fraction is an integer.
fn integer_at(data: &Map<String, Value>, path: &[String]) -> Result<i64, String> {
    let refused = |why: &str| Err(format!("{} {why}", name_of(path)));
    let Value::Number(number) = value_at(data, path)? else {
        return refused("is not an integer");
    };
    let integer = match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer,
        (None, _) if number.is_u64() => return refused("is beyond 64 bits"),
        (None, Some(float)) if float.fract() != 0.0 => return refused("is not an integer"),
        #[expect(clippy::cast_possible_truncation, reason = "the value has no fraction and fits")]
        (None, Some(float)) if float.abs() < EXACT_DOUBLE_MAX => float as i64,
        // 2^63 is the first float that is too large for an integer.
        (None, Some(float)) if float.abs() < 9_223_372_036_854_775_808.0 => {
            return refused(
                "was sent with a fraction or an exponent and is not exact beyond 2^53; send it as a \
                 plain integer",
            );
        }
        _ => return refused("is beyond 64 bits"),
    };
    if integer < 0 { refused("is negative") } else { Ok(integer) }
}
