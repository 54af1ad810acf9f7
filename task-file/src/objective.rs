//! The objective of a task: the actions or completions that it counts.

use std::collections::BTreeSet;

use plaudit_domain::calendar::Cadence;
use plaudit_domain::catalogue::definition::{Cap, Kind, Measure, Objective};
use plaudit_domain::duration;
use plaudit_domain::expression::{Filter, PatternTotal};
use plaudit_domain::ids::{TaskId, check_name};
use plaudit_domain::user_tasks::SEEN_PER_PERIOD_MAX;

use crate::located::{Diagnostics, Fields, Invalid, Located, excerpt};
use crate::node::Value;
use crate::task::task_id;

const KEYS: [&str; 8] =
    ["on", "completions_of", "where", "measure", "cap", "lateness", "carry_over", "target"];

/// Makes a measure of the field at a path.
type OfField = fn(Vec<String>) -> Measure;

/// The measures of a field of an action.
const MEASURES: [(&str, OfField); 4] = [
    ("sum", Measure::Sum),
    ("max", Measure::Max),
    ("latest", Measure::Latest),
    ("distinct", Measure::Distinct),
];

/// The longest path to a field, in bytes.
const FIELD_BYTES_MAX: usize = 256;

/// The longest lateness, in seconds: a year. Periods stay open for that long.
const LATENESS_SECONDS_MAX: i64 = 366 * 86_400;

/// The longest lateness, in periods. Each open period of a task is read and written with every
/// action of its user.
const LATENESS_PERIODS_MAX: i64 = 400;

/// An objective whose target may still follow from the milestones.
pub struct Counted<'n> {
    /// The objective as written.
    pub fields: Fields<'n>,
    /// The target, if one was given, and its place.
    pub target: Result<Option<(i64, Located<'n>)>, Invalid>,
    /// The tasks whose completions count, and their places.
    pub completions_of: Vec<(TaskId, Located<'n>)>,
    on: Option<Vec<String>>,
    filter: Result<Option<String>, Invalid>,
    measure: Option<Measure>,
    cap: Option<Cap>,
    carry_over: Option<bool>,
    lateness_seconds: Option<i64>,
}

impl Counted<'_> {
    /// Refuses a target that needs more values than one period can remember.
    pub fn refuse_beyond_memory(&self, target: i64, diagnostics: &mut Diagnostics) {
        let counts_once = self.measure.as_ref().is_some_and(Measure::counts_once);
        let most = i64::try_from(SEEN_PER_PERIOD_MAX).unwrap_or(i64::MAX);
        if !counts_once || target <= most {
            return;
        }
        let place = self.fields.get("target").or_else(|| self.fields.get("measure"));
        if let Some(place) = place {
            let message = format!("the target is {target}, but a period counts at most {most}");
            diagnostics.add(place, format_args!("{message} different values or days"));
        }
    }

    /// Refuses a lateness that keeps too many periods open at once.
    pub fn refuse_too_many_open(&self, every: Cadence, diagnostics: &mut Diagnostics) {
        let (Some(lateness), Some(place)) = (self.lateness_seconds, self.fields.get("lateness"))
        else {
            return;
        };
        let Some(shortest) = every.shortest_period_seconds() else { return };
        if lateness > LATENESS_PERIODS_MAX * shortest {
            let minutes = LATENESS_PERIODS_MAX * shortest / 60;
            let most = match (minutes / 60, minutes % 60) {
                (hours, 0) => format!("PT{hours}H"),
                (hours, minutes) => format!("PT{hours}H{minutes}M"),
            };
            let message = format!(
                "must be at most {LATENESS_PERIODS_MAX} of the shortest periods of `every`, here \
                 {most}: all of them stay open together"
            );
            diagnostics.add(place, message);
        }
    }

    /// The objective, once its target is known.
    pub fn into_objective(self, target: i64) -> Option<Objective> {
        Some(Objective {
            on: self.on?,
            completions_of: self.completions_of.into_iter().map(|(id, _)| id).collect(),
            filter: self.filter.ok()?,
            measure: self.measure?,
            target,
            cap: self.cap?,
            lateness_seconds: self.lateness_seconds?,
            carry_over: self.carry_over?,
        })
    }
}

/// Reads the objective of a task.
pub fn read<'n>(
    task: &Fields<'n>,
    kind: Option<Kind>,
    own_id: Option<&TaskId>,
    diagnostics: &mut Diagnostics,
) -> Option<Counted<'n>> {
    let place = task.require("objective", diagnostics)?;
    let fields = place.fields(&KEYS, diagnostics)?;
    let target = match fields.get("target") {
        None => Ok(None),
        Some(place) => {
            let target = place.positive(diagnostics);
            target.map(|target| Some((target, place.clone()))).ok_or(Invalid)
        }
    };
    let (on, completions_of) = what_counts(&fields, own_id, diagnostics);
    let filter =
        fields.read_or("where", None, |place| filter(place, diagnostics).map(Some)).ok_or(Invalid);
    let measure = fields.read_or("measure", Measure::Count, |place| measure(place, diagnostics));
    let cap = fields.read_or("cap", Cap::default(), |place| cap(place, diagnostics));
    let carry_over = fields.read_or("carry_over", false, |place| place.boolean(diagnostics));
    let lateness_seconds = fields.read_or("lateness", 0, |place| lateness(place, diagnostics));
    refuse_misfits(&fields, kind, measure.as_ref(), carry_over, diagnostics);
    Some(Counted {
        fields,
        target,
        completions_of,
        on,
        filter,
        measure,
        cap,
        carry_over,
        lateness_seconds,
    })
}

/// Reads the action types, or the tasks whose completions count.
fn what_counts<'n>(
    fields: &Fields<'n>,
    own_id: Option<&TaskId>,
    diagnostics: &mut Diagnostics,
) -> (Option<Vec<String>>, Vec<(TaskId, Located<'n>)>) {
    let Some(place) = fields.get("completions_of") else {
        let on = fields.require("on", diagnostics);
        return (on.and_then(|place| action_types(place, diagnostics)), Vec::new());
    };
    for name in ["on", "where", "measure", "cap"] {
        if let Some(place) = fields.get(name) {
            let message = "has no meaning with `completions_of`, which counts no actions";
            diagnostics.add(place, message);
        }
    }
    let items = place.items(diagnostics);
    let tasks =
        items.map(|items| other_tasks(items, own_id, "count its own completions", diagnostics));
    (tasks.is_some().then(Vec::new), tasks.unwrap_or_default())
}

/// Reads ids of other tasks, each once.
pub fn other_tasks<'n>(
    items: Vec<Located<'n>>,
    own_id: Option<&TaskId>,
    verb: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<(TaskId, Located<'n>)> {
    let mut known = BTreeSet::new();
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        let Some(id) = task_id(&item, diagnostics) else { continue };
        if own_id == Some(&id) {
            diagnostics.add(&item, format_args!("a task cannot {verb}"));
        } else if known.insert(id.clone()) {
            read.push((id, item));
        } else {
            diagnostics.add(&item, format_args!("{id} is listed twice"));
        }
    }
    read
}

/// Refuses fields that do not go together.
fn refuse_misfits(
    fields: &Fields<'_>,
    kind: Option<Kind>,
    measure: Option<&Measure>,
    carry_over: Option<bool>,
    diagnostics: &mut Diagnostics,
) {
    let is_additive = measure.is_none_or(Measure::is_additive);
    if let Some(place) = fields.get("cap").filter(|_| !is_additive) {
        diagnostics.add(place, "goes with the measures count and sum only");
    }
    if let Some(place) = fields.get("carry_over").filter(|_| carry_over == Some(true)) {
        if !is_additive {
            diagnostics.add(place, "goes with the measures count and sum only");
        } else if kind.is_some_and(|kind| !kind.shape().carries_over) {
            diagnostics.add(place, "only periodic tasks have a next period to carry over to");
        }
    }
}

fn action_types(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let places = match &place.node.value {
        Value::List(_) => place.items(diagnostics)?,
        Value::Text(_) => vec![place.clone()],
        _ => {
            diagnostics.add(place, "must be an action type, such as gift.sent, or a list of them");
            return None;
        }
    };
    let mut types: Vec<String> = Vec::with_capacity(places.len());
    for place in &places {
        let Some(name) = action_type(place, diagnostics) else { continue };
        if types.contains(&name) {
            diagnostics.add(place, format_args!("{:?} is listed twice", excerpt(&name)));
        }
        types.push(name);
    }
    (types.len() == places.len()).then_some(types)
}

/// Reads the type of an action.
pub fn action_type(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let name = place.text(diagnostics)?;
    check_name("an action type", name).map_err(|e| diagnostics.add(place, e)).ok()?;
    Some(name.to_owned())
}

fn filter(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let source = place.text(diagnostics)?;
    let filter =
        diagnostics.compiled(place, || Filter::compile(source), PatternTotal::add_filter)?;
    if let fields @ [first, ..] = &filter.unguarded_fields()[..] {
        let message = if first.starts_with("user.") {
            "an action of a user without the attribute does not count"
        } else {
            "an action without the field does not count"
        };
        let guard = format!("has({first}) && …");
        let fields = fields.join(", ");
        diagnostics.warn(place, format_args!("reads {fields} without `{guard}`: {message}"));
    }
    Some(source.to_owned())
}

fn measure(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Measure> {
    match &place.node.value {
        Value::Text(word) if MEASURES.iter().any(|(name, _)| name == word) => {
            diagnostics.add(place, format_args!("needs a field: {{ {word}: data.coins }}"));
            None
        }
        Value::Mapping(_) => measure_of_field(place, diagnostics),
        _ => place.choice(&[("count", Plain::Count), ("days", Plain::Days)], diagnostics).map(
            |word| match word {
                Plain::Count => Measure::Count,
                Plain::Days => Measure::Days,
            },
        ),
    }
}

/// The measures that need no field.
#[derive(Clone, Copy)]
enum Plain {
    Count,
    Days,
}

fn measure_of_field(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Measure> {
    let fields = place.fields(&MEASURES.map(|(name, _)| name), diagnostics)?;
    let given: Vec<_> =
        MEASURES.iter().filter_map(|(name, of)| Some((of, fields.get(name)?))).collect();
    match given[..] {
        [(of, place)] => field(place, diagnostics).map(of),
        [] => {
            diagnostics.add(place, "must name one measure: count, or { sum: data.coins }");
            None
        }
        _ => {
            diagnostics.add(place, "must name only one measure");
            None
        }
    }
}

/// Reads a path such as `data.gift.coins` as the names below `data`.
fn field(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let path = place.text(diagnostics)?;
    let is_name = |name: &str| {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts_well && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let names = path.strip_prefix("data.").filter(|_| path.len() <= FIELD_BYTES_MAX);
    let names = names.map(|rest| rest.split('.').map(str::to_owned).collect::<Vec<_>>());
    let names = names.filter(|names| names.iter().all(|name| is_name(name)));
    if names.is_none() {
        let message = "must be one field below data, such as data.coins or data.gift.coins";
        diagnostics.add(place, format_args!("{message}, got {:?}", excerpt(path)));
    }
    names
}

fn cap(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Cap> {
    let fields = place.fields(&["per_action", "per_period"], diagnostics)?;
    let mut limit =
        |name| fields.read_or(name, None, |place| place.positive(diagnostics).map(Some));
    let (per_action, per_period) = (limit("per_action"), limit("per_period"));
    Some(Cap { per_action: per_action?, per_period: per_period? })
}

/// Reads a duration, in seconds.
pub fn seconds(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<i64> {
    let seconds = duration::seconds(place.text(diagnostics)?);
    seconds.map_err(|e| diagnostics.add(place, e)).ok()
}

fn lateness(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<i64> {
    let seconds = seconds(place, diagnostics)?;
    if seconds > LATENESS_SECONDS_MAX {
        diagnostics.add(place, "must be at most 366 days: periods stay open for that long");
        return None;
    }
    Some(seconds)
}
