//! An author's additional data for the app, as any JSON.

use plaudit_domain::catalogue::definition::{META_BYTES_MAX, Meta};
use serde_json::{Map, Number, Value as Json};

use crate::located::{Diagnostics, Fields, Located};
use crate::node::Value;

/// Reads the field `meta` of a task, a milestone or a reward line.
pub fn read(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Option<Meta> {
    fields.read_or("meta", Map::new(), |place| object(place, diagnostics))
}

fn object(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Meta> {
    let meta = mapping(place, diagnostics)?;
    let bytes = serde_json::to_vec(&meta).map_or(0, |json| json.len());
    if bytes > META_BYTES_MAX {
        let message = format_args!("must take at most {META_BYTES_MAX} bytes as JSON, got {bytes}");
        diagnostics.add(place, message);
        return None;
    }
    Some(meta)
}

fn mapping(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Meta> {
    let entries = place.entries(diagnostics)?;
    let count = entries.len();
    let fields: Meta = entries
        .into_iter()
        .filter_map(|(name, _, place)| Some((name.to_owned(), json(&place, diagnostics)?)))
        .collect();
    (fields.len() == count).then_some(fields)
}

fn json(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Json> {
    match &place.node.value {
        Value::Null => Some(Json::Null),
        Value::Boolean(is) => Some(Json::Bool(*is)),
        Value::Integer(number) => Some((*number).into()),
        Value::Float(number) => {
            let number = Number::from_f64(*number);
            if number.is_none() {
                diagnostics.add(place, "must be a number that JSON has");
            }
            number.map(Json::Number)
        }
        Value::Text(text) => Some(Json::String(text.clone())),
        Value::List(_) => {
            let items = place.items_if_any(diagnostics)?;
            let read: Vec<_> = items.iter().filter_map(|item| json(item, diagnostics)).collect();
            (read.len() == items.len()).then_some(Json::Array(read))
        }
        Value::Mapping(_) => mapping(place, diagnostics).map(Json::Object),
        Value::Tagged => {
            diagnostics.add(place, "must be plain JSON, without a YAML tag");
            None
        }
    }
}
