//! The functions of the language, and the operands that they take.
//!
//! # Source
//!
//! CEL language definition, "List of Standard Definitions". `timestamp_ms` is Plaudit's own.

use super::budget::Budget;
use super::failure::Stop;
use super::instant::{Accessor, Instant, duration_text, parse_duration, zone_offset};
use super::plan::Function;
use super::value::{Bytes, Kind, Text, Value};

/// The syntax of a function's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `size(x)`.
    Global,
    /// `x.contains(y)`.
    Member,
    /// Either.
    Both,
}

/// A function that an expression may call.
#[derive(Debug)]
pub(super) struct Signature {
    pub name: &'static str,
    pub form: Form,
    /// The fewest and the most operands, the one before the dot included.
    pub operands: (usize, usize),
    pub function: Function,
}

const fn global(name: &'static str, function: Function) -> Signature {
    Signature { name, form: Form::Global, operands: (1, 1), function }
}

const fn of_text(name: &'static str, function: Function) -> Signature {
    Signature { name, form: Form::Member, operands: (2, 2), function }
}

const fn accessor(name: &'static str, part: Accessor) -> Signature {
    Signature { name, form: Form::Member, operands: (1, 2), function: Function::Get(part) }
}

pub(super) const SIGNATURES: &[Signature] = &[
    Signature { name: "size", form: Form::Both, operands: (1, 1), function: Function::Size },
    of_text("contains", Function::Contains),
    of_text("startsWith", Function::StartsWith),
    of_text("endsWith", Function::EndsWith),
    global("int", Function::Int),
    global("uint", Function::Uint),
    global("double", Function::Double),
    global("string", Function::Text),
    global("bool", Function::Bool),
    global("bytes", Function::Bytes),
    global("type", Function::Type),
    global("dyn", Function::Dyn),
    global("timestamp", Function::Timestamp),
    global("timestamp_ms", Function::TimestampMs),
    global("duration", Function::Duration),
    accessor("getFullYear", Accessor::FullYear),
    accessor("getMonth", Accessor::Month),
    accessor("getDayOfYear", Accessor::DayOfYear),
    accessor("getDayOfMonth", Accessor::DayOfMonth),
    accessor("getDate", Accessor::Date),
    accessor("getDayOfWeek", Accessor::DayOfWeek),
    accessor("getHours", Accessor::Hours),
    accessor("getMinutes", Accessor::Minutes),
    accessor("getSeconds", Accessor::Seconds),
    accessor("getMilliseconds", Accessor::Milliseconds),
];

impl Function {
    pub fn name(self) -> &'static str {
        SIGNATURES.iter().find(|s| s.function == self).map_or("", |s| s.name)
    }

    /// True if the function takes a value of this kind as the operand at `index`.
    pub fn takes(self, index: usize, kind: Kind) -> bool {
        use Kind::{Bool, Double, Int, List, Map, Text, Timestamp, Uint};
        match self {
            Self::Size => matches!(kind, Text | Kind::Bytes | List | Map),
            Self::Contains | Self::StartsWith | Self::EndsWith => kind == Text,
            Self::Int => matches!(kind, Int | Uint | Double | Text | Timestamp),
            Self::Uint | Self::Double => matches!(kind, Int | Uint | Double | Text),
            Self::Text => !matches!(kind, Kind::Null | List | Map | Kind::Type),
            Self::Bool => matches!(kind, Bool | Text),
            Self::Bytes => matches!(kind, Text | Kind::Bytes),
            Self::Type | Self::Dyn => true,
            Self::Timestamp => matches!(kind, Text | Int | Timestamp),
            Self::TimestampMs => kind == Int,
            Self::Duration => matches!(kind, Text | Kind::Duration),
            Self::Get(_) if index > 0 => kind == Text,
            Self::Get(part) => {
                kind == Timestamp || (kind == Kind::Duration && part.of_duration(0).is_some())
            }
        }
    }

    /// The kind of the result; `None` if it depends on the operand.
    pub fn result(self) -> Option<Kind> {
        Some(match self {
            Self::Size | Self::Int | Self::Get(_) => Kind::Int,
            Self::Contains | Self::StartsWith | Self::EndsWith | Self::Bool => Kind::Bool,
            Self::Uint => Kind::Uint,
            Self::Double => Kind::Double,
            Self::Text => Kind::Text,
            Self::Bytes => Kind::Bytes,
            Self::Type => Kind::Type,
            Self::Timestamp | Self::TimestampMs => Kind::Timestamp,
            Self::Duration => Kind::Duration,
            Self::Dyn => return None,
        })
    }
}

/// Calls a function.
pub(super) fn call<'v>(
    function: Function,
    operands: &[Value<'v>],
    budget: &mut Budget,
) -> Result<Value<'v>, Stop<'v>> {
    match (function, operands) {
        (Function::Type, [value]) => Ok(Value::Kind(value.kind())),
        (Function::Dyn, [value]) => Ok(value.clone()),
        (Function::Size, [value]) => size(value, budget).map(Value::Int),
        (
            Function::Contains | Function::StartsWith | Function::EndsWith,
            [Value::Text(text), Value::Text(part)],
        ) => {
            budget.text(4 * (text.len() + part.len()))?;
            Ok(Value::Bool(match function {
                Function::Contains => text.contains(&**part),
                Function::StartsWith => text.starts_with(&**part),
                _ => text.ends_with(&**part),
            }))
        }
        (Function::Get(part), [Value::Instant(at)]) => get(part, *at, None, budget),
        (Function::Get(part), [Value::Instant(at), Value::Text(zone)]) => {
            get(part, *at, Some(zone), budget)
        }
        (Function::Get(part), [Value::Duration(nanos)]) => {
            let got = part.of_duration(*nanos);
            got.map(Value::Int).ok_or(Stop::NoOverload(function.name(), Kind::Duration, None))
        }
        (_, [value]) => convert(function, value, budget),
        (_, [first, second, ..]) => {
            Err(Stop::NoOverload(function.name(), first.kind(), Some(second.kind())))
        }
        (_, []) => Err(Stop::NoOverload(function.name(), Kind::Null, None)),
    }
}

fn size<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<i64, Stop<'v>> {
    let count = match value {
        // The size of a text counts characters.
        Value::Text(text) => {
            budget.text(text.len())?;
            text.chars().count()
        }
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => {
            budget.steps(map.steps_to_count())?;
            map.len()
        }
        other => return Err(Stop::NoOverload("size", other.kind(), None)),
    };
    i64::try_from(count).map_err(|_| Stop::Overflow("size"))
}

fn get<'v>(
    part: Accessor,
    at: Instant,
    zone: Option<&str>,
    budget: &mut Budget,
) -> Result<Value<'v>, Stop<'v>> {
    budget.steps(4)?;
    let name = Function::Get(part).name();
    let offset_seconds = match zone {
        None => 0,
        Some(zone) => {
            budget.steps(ZONE_STEPS + zone.len() / 16)?;
            let expected = "an IANA zone such as 'Europe/Paris', or an offset such as '+05:30'";
            zone_offset(zone, at).ok_or(Stop::Unfit(name, expected))?
        }
    };
    let at = at.civil(offset_seconds).ok_or(Stop::Overflow(name))?;
    Ok(Value::Int(part.of_civil(at)))
}

/// The cost of looking up a zone, in steps.
const ZONE_STEPS: usize = 20;

/// Converts a value from one kind to another.
fn convert<'v>(
    function: Function,
    value: &Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, Stop<'v>> {
    if let Value::Text(text) = value {
        return from_text(function, text, budget);
    }
    let name = function.name();
    let overflow = || Stop::Overflow(name);
    Ok(match (function, value) {
        (Function::Int, Value::Int(_))
        | (Function::Uint, Value::Uint(_))
        | (Function::Double, Value::Double(_))
        | (Function::Bool, Value::Bool(_))
        | (Function::Bytes, Value::Bytes(_))
        | (Function::Timestamp, Value::Instant(_))
        | (Function::Duration, Value::Duration(_)) => value.clone(),
        (Function::Int, Value::Uint(number)) => {
            Value::Int(i64::try_from(*number).map_err(|_| overflow())?)
        }
        (Function::Int, Value::Double(number)) => Value::Int(to_int(*number).ok_or_else(overflow)?),
        (Function::Int, Value::Instant(at)) => Value::Int(at.seconds()),
        (Function::Uint, Value::Int(number)) => {
            Value::Uint(u64::try_from(*number).map_err(|_| overflow())?)
        }
        (Function::Uint, Value::Double(number)) => {
            Value::Uint(to_uint(*number).ok_or_else(overflow)?)
        }
        #[expect(clippy::cast_precision_loss, reason = "the nearest double, as CEL has it")]
        (Function::Double, Value::Int(number)) => Value::Double(*number as f64),
        #[expect(clippy::cast_precision_loss, reason = "the nearest double, as CEL has it")]
        (Function::Double, Value::Uint(number)) => Value::Double(*number as f64),
        (Function::Timestamp, Value::Int(seconds)) => {
            Value::Instant(Instant::from_seconds(*seconds).ok_or_else(overflow)?)
        }
        (Function::TimestampMs, Value::Int(millis)) => {
            Value::Instant(Instant::from_millis(*millis).ok_or_else(overflow)?)
        }
        (Function::Text, value) => to_text(value, budget)?,
        (_, value) => return Err(Stop::NoOverload(name, value.kind(), None)),
    })
}

fn from_text<'v>(
    function: Function,
    text: &Text<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, Stop<'v>> {
    let name = function.name();
    let unfit = |expected| move || Stop::Unfit(name, expected);
    // Reading a number takes about a nanosecond for each digit.
    budget.text(4 * text.len())?;
    Ok(match function {
        Function::Text => Value::Text(text.clone()),
        Function::Int => {
            Value::Int(text.parse().ok().ok_or_else(unfit("a whole number of 64 bits"))?)
        }
        Function::Uint => {
            Value::Uint(text.parse().ok().ok_or_else(unfit("a whole number of 64 bits from 0"))?)
        }
        Function::Double => Value::Double(text.parse().ok().ok_or_else(unfit("a number"))?),
        Function::Bool => match &**text {
            "1" | "t" | "true" | "TRUE" | "True" => Value::Bool(true),
            "0" | "f" | "false" | "FALSE" | "False" => Value::Bool(false),
            _ => return Err(unfit("'true' or 'false'")()),
        },
        Function::Bytes => Value::Bytes(match text {
            Text::Borrowed(text) => Bytes::Borrowed(text.as_bytes()),
            Text::Shared(text) => {
                budget.bytes(text.len())?;
                Bytes::Shared(text.as_bytes().into())
            }
        }),
        Function::Timestamp => {
            budget.steps(4)?;
            let expected = "an RFC 3339 text such as '2026-03-29T01:30:00Z'";
            Value::Instant(Instant::parse(text).ok_or_else(unfit(expected))?)
        }
        Function::Duration => {
            budget.steps(4)?;
            let expected = "a text such as '1h30m' or '125ms', within 292 years";
            Value::Duration(parse_duration(text).ok_or_else(unfit(expected))?)
        }
        _ => return Err(Stop::NoOverload(name, Kind::Text, None)),
    })
}

fn to_text<'v>(value: &Value<'v>, budget: &mut Budget) -> Result<Value<'v>, Stop<'v>> {
    let text = match value {
        Value::Bool(holds) => holds.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => {
            // Up to 309 digits.
            budget.steps(32)?;
            number.to_string()
        }
        Value::Bytes(bytes) => {
            budget.text(2 * bytes.len())?;
            let text = std::str::from_utf8(bytes);
            text.map_err(|_| Stop::Unfit("string", "bytes that are UTF-8"))?.to_owned()
        }
        Value::Instant(at) => {
            budget.steps(16)?;
            at.text()
        }
        Value::Duration(nanos) => duration_text(*nanos),
        other => return Err(Stop::NoOverload("string", other.kind(), None)),
    };
    budget.steps(2)?;
    budget.bytes(2 * text.len() + 32)?;
    Ok(Value::owned_text(text))
}

/// Truncates to a whole number, if that fits. -2^63 is refused, as in other implementations.
#[expect(clippy::cast_possible_truncation, reason = "it was checked that it fits")]
pub(super) fn to_int(number: f64) -> Option<i64> {
    (number.abs() < 9_223_372_036_854_775_808.0).then_some(number as i64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it fits")]
fn to_uint(number: f64) -> Option<u64> {
    (0.0..18_446_744_073_709_551_616.0).contains(&number).then_some(number as u64)
}
