//! What a task counts.

use plaudit_domain::catalogue::definition::{Cap, Kind, Measure, Objective};
use plaudit_domain::duration;
use plaudit_domain::expression::Filter;
use plaudit_domain::ids::check_name;

use crate::located::{Diagnostics, Fields, Invalid, Located, excerpt};
use crate::node::Value;

const KEYS: [&str; 7] = ["on", "where", "measure", "cap", "lateness", "carry_over", "target"];
const MEASURES: [&str; 5] = ["sum", "max", "latest", "distinct", "days"];

/// The longest path to a field, in bytes.
const FIELD_BYTES_MAX: usize = 256;

/// An objective whose target may still be told by the milestones.
pub struct Counted<'n> {
    /// The objective as written.
    pub fields: Fields<'n>,
    /// The target, if one was given, and where.
    pub target: Result<Option<(i64, Located<'n>)>, Invalid>,
    on: Option<Vec<String>>,
    filter: Result<Option<String>, Invalid>,
    measure: Option<Measure>,
    cap: Option<Cap>,
    lateness_seconds: Option<i64>,
}

impl Counted<'_> {
    /// The objective, once its target is known.
    pub fn into_objective(self, target: i64) -> Option<Objective> {
        Some(Objective {
            on: self.on?,
            filter: self.filter.ok()?,
            measure: self.measure?,
            target,
            cap: self.cap?,
            lateness_seconds: self.lateness_seconds?,
        })
    }
}

/// Reads the objective of a task.
pub fn read<'n>(
    task: &Fields<'n>,
    kind: Option<Kind>,
    diagnostics: &mut Diagnostics,
) -> Option<Counted<'n>> {
    let place = task.require("objective", diagnostics)?;
    let fields = place.fields(&KEYS, diagnostics)?;
    if let Some(place) = fields.get("carry_over")
        && place.boolean(diagnostics) == Some(true)
    {
        diagnostics.not_supported(place, "objective.carry_over: true");
    }
    let target = match fields.get("target") {
        None => Ok(None),
        Some(place) => {
            place.positive(diagnostics).map(|target| Some((target, place.clone()))).ok_or(Invalid)
        }
    };
    let on = fields.require("on", diagnostics).and_then(|place| action_types(place, diagnostics));
    let filter =
        fields.read_or("where", None, |place| filter(place, diagnostics).map(Some)).ok_or(Invalid);
    let measure = fields.read_or("measure", Measure::Count, |place| measure(place, diagnostics));
    let cap = fields.read_or("cap", Cap::default(), |place| cap(place, diagnostics));
    let lateness_seconds =
        fields.read_or("lateness", 0, |place| lateness(place, kind, diagnostics));
    Some(Counted { fields, target, on, filter, measure, cap, lateness_seconds })
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
        let Some(name) = place.text(diagnostics) else { continue };
        if let Err(e) = check_name("an action type", name) {
            diagnostics.add(place, e);
        } else if types.iter().any(|other| other == name) {
            diagnostics.add(place, format_args!("{:?} is listed twice", excerpt(name)));
        }
        types.push(name.to_owned());
    }
    (types.len() == places.len()).then_some(types)
}

fn filter(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    let source = place.text(diagnostics)?;
    Filter::compile(source).map_err(|e| diagnostics.add(place, e)).ok()?;
    Some(source.to_owned())
}

fn measure(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Measure> {
    match &place.node.value {
        Value::Text(word) if word == "count" => return Some(Measure::Count),
        Value::Text(word) if word == "sum" => {
            diagnostics.add(place, "needs a field: { sum: data.coins }");
        }
        Value::Text(word) if MEASURES.contains(&word.as_str()) => {
            diagnostics.not_supported(place, format_args!("measure: {word}"));
        }
        Value::Mapping(_) => return measure_of_field(place, diagnostics),
        _ => {
            place.choice(&[("count", ()), ("{ sum: data.<field> }", ())], diagnostics);
        }
    }
    None
}

fn measure_of_field(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Measure> {
    let fields = place.fields(&MEASURES, diagnostics)?;
    let given: Vec<(&str, &Located<'_>)> =
        MEASURES.iter().filter_map(|name| Some((*name, fields.get(name)?))).collect();
    for (name, place) in given.iter().filter(|(name, _)| *name != "sum") {
        diagnostics.not_supported(place, format_args!("measure: {name}"));
    }
    match given[..] {
        [("sum", place)] => field(place, diagnostics).map(Measure::Sum),
        [_] => None,
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

fn lateness(place: &Located<'_>, kind: Option<Kind>, diagnostics: &mut Diagnostics) -> Option<i64> {
    let seconds = duration::seconds(place.text(diagnostics)?);
    let seconds = seconds.map_err(|e| diagnostics.add(place, e)).ok()?;
    if seconds != 0 && kind == Some(Kind::Continuous) {
        diagnostics.not_supported(place, "lateness for a continuous task");
    }
    Some(seconds)
}
