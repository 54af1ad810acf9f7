//! The result of an expression that is not a condition.

use std::mem::size_of;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::budget::Budget;
use super::failure::Stop;
use super::instant::duration_text;
use super::map::Map;
use super::value::{Kind, List, Object, Value};

/// The result of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Any JSON. Timestamps and durations within it are texts, bytes within it are base64.
    Json(Json),
    /// An instant.
    Instant(Timestamp),
    /// Something that JSON does not have: bytes, a duration or a type, by its name in the language.
    Other(&'static str),
}

impl Output {
    /// The name of its type, for messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Json(Json::Null) => Kind::Null.name(),
            Self::Json(Json::Bool(_)) => Kind::Bool.name(),
            Self::Json(Json::Number(number)) => {
                if number.is_i64() {
                    Kind::Int.name()
                } else if number.is_u64() {
                    Kind::Uint.name()
                } else {
                    Kind::Double.name()
                }
            }
            Self::Json(Json::String(_)) => Kind::Text.name(),
            Self::Json(Json::Array(_)) => Kind::List.name(),
            Self::Json(Json::Object(_)) => Kind::Map.name(),
            Self::Instant(_) => "timestamp",
            Self::Other(name) => name,
        }
    }
}

/// Converts a value to the output of an evaluation. The copy is paid for like everything else.
pub(super) fn output<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<Output, Stop<'v>> {
    Ok(match value {
        Value::Instant(at) => Output::Instant(at.timestamp().ok_or(Stop::Overflow("timestamp"))?),
        Value::Duration(_) => Output::Other("duration"),
        Value::Bytes(_) => Output::Other(Kind::Bytes.name()),
        Value::Kind(_) => Output::Other(Kind::Type.name()),
        value => Output::Json(json(value, 0, budget)?),
    })
}

/// The deepest nesting of JSON. Anything deeper could not be read back.
const DEPTH_MAX: usize = 100;

/// The memory of a field in a JSON object, beside its name and its value: about this many bytes.
const FIELD_BYTES: usize = 64;

fn json<'v>(value: &Value<'v>, depth: usize, budget: &mut Budget) -> Result<Json, Stop<'v>> {
    if depth > DEPTH_MAX {
        return Err(Stop::Unfit("data", "lists and maps that are nested at most 100 deep"));
    }
    budget.steps(1)?;
    budget.bytes(size_of::<Json>())?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(holds) => Json::Bool(*holds),
        Value::Int(number) => (*number).into(),
        Value::Uint(number) => (*number).into(),
        Value::Double(number) => {
            let number = serde_json::Number::from_f64(*number);
            Json::Number(number.ok_or(Stop::Unfit("data", "numbers that are finite"))?)
        }
        Value::Text(text) => {
            pay_for_text(text.len(), budget)?;
            Json::String(text.to_string())
        }
        Value::Bytes(bytes) => {
            pay_for_text(bytes.len() * 2, budget)?;
            Json::String(base64(bytes))
        }
        Value::Instant(at) => {
            pay_for_text(64, budget)?;
            Json::String(at.text())
        }
        Value::Duration(nanos) => {
            pay_for_text(64, budget)?;
            Json::String(duration_text(*nanos))
        }
        Value::List(list) => list_json(list, depth, budget)?,
        Value::Map(map) => map_json(map, depth, budget)?,
        Value::Kind(_) => return Err(Stop::NoOverload("data", Kind::Type, None)),
    })
}

fn list_json<'v>(list: &List<'v>, depth: usize, budget: &mut Budget) -> Result<Json, Stop<'v>> {
    if let List::Json(items) = list {
        items.iter().try_for_each(|item| pay_for_json(item, depth + 1, budget))?;
        return Ok(Json::Array(items.to_vec()));
    }
    let mut items = Vec::with_capacity(list.len());
    for index in 0..list.len() {
        if let Some(item) = list.get(index)? {
            items.push(json(&item, depth + 1, budget)?);
        }
    }
    Ok(Json::Array(items))
}

fn map_json<'v>(map: &Map<'v>, depth: usize, budget: &mut Budget) -> Result<Json, Stop<'v>> {
    if let Map::Json(fields) = map {
        pay_for_fields(fields, depth, budget)?;
        return Ok(Json::Object((*fields).clone()));
    }
    let mut fields = Object::new();
    for key in map.keys() {
        let name = match &key {
            Value::Text(name) => name.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Uint(number) => number.to_string(),
            Value::Bool(holds) => holds.to_string(),
            other => return Err(Stop::NoOverload("{}", other.kind(), None)),
        };
        budget.steps(1 + map.steps_to_find(name.len()))?;
        pay_for_text(FIELD_BYTES + name.len(), budget)?;
        if let Some(value) = map.get(&key)? {
            fields.insert(name, json(&value, depth + 1, budget)?);
        }
    }
    Ok(Json::Object(fields))
}

/// Pays for copying JSON as it is.
fn pay_for_json(value: &Json, depth: usize, budget: &mut Budget) -> Result<(), Stop<'static>> {
    if depth > DEPTH_MAX {
        return Err(Stop::Unfit("data", "lists and maps that are nested at most 100 deep"));
    }
    budget.steps(1)?;
    budget.bytes(size_of::<Json>())?;
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
        Json::String(text) => pay_for_text(text.len(), budget),
        Json::Array(items) => {
            items.iter().try_for_each(|item| pay_for_json(item, depth + 1, budget))
        }
        Json::Object(fields) => pay_for_fields(fields, depth, budget),
    }
}

fn pay_for_fields(fields: &Object, depth: usize, budget: &mut Budget) -> Result<(), Stop<'static>> {
    fields.iter().try_for_each(|(name, value)| {
        pay_for_text(FIELD_BYTES + name.len(), budget)?;
        pay_for_json(value, depth + 1, budget)
    })
}

fn pay_for_text(bytes: usize, budget: &mut Budget) -> Result<(), Stop<'static>> {
    budget.text(bytes)?;
    budget.bytes(bytes)
}

/// Encodes bytes as CEL does in JSON: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}
