//! Values during an evaluation. They borrow from the data and from the expression. Only values that
//! an operator makes are owned, and these are shared rather than copied.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::failure::Stop;
use super::instant::Instant;
use super::map::Map;

/// A JSON object.
pub type Object = serde_json::Map<String, Json>;

/// The value of a variable in an expression.
#[derive(Debug, Clone, Copy)]
pub enum Variable<'v> {
    /// Nothing, such as the key of a record without one.
    Null,
    /// A number, such as an offset.
    Integer(i64),
    /// A text.
    Text(&'v str),
    /// Bytes that are not a text.
    Bytes(&'v [u8]),
    /// An instant.
    Instant(Timestamp),
    /// Any JSON.
    Json(&'v Json),
    /// A JSON object.
    Object(&'v Object),
    /// Named values, each name once. They take precedence over those of `others`.
    Fields {
        /// The named values.
        own: &'v [(&'v str, Variable<'v>)],
        /// Further fields.
        others: Option<&'v Object>,
    },
}

impl<'v> Variable<'v> {
    pub(super) fn value(&self) -> Result<Value<'v>, Stop<'v>> {
        Ok(match *self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Int(number),
            Self::Text(text) => Value::Text(Text::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(Bytes::Borrowed(bytes)),
            Self::Instant(at) => Value::Instant(Instant::from(at)),
            Self::Json(json) => return from_json(json),
            Self::Object(fields) => Value::Map(Map::Json(fields)),
            Self::Fields { own, others } => Value::Map(Map::Fields { own, others }),
        })
    }
}

/// A value of the language.
#[derive(Debug, Clone)]
pub(super) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Text<'v>),
    Bytes(Bytes<'v>),
    List(List<'v>),
    Map(Map<'v>),
    Instant(Instant),
    /// In nanoseconds.
    Duration(i64),
    Kind(Kind),
}

impl Value<'_> {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Uint(_) => Kind::Uint,
            Self::Double(_) => Kind::Double,
            Self::Text(_) => Kind::Text,
            Self::Bytes(_) => Kind::Bytes,
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
            Self::Instant(_) => Kind::Timestamp,
            Self::Duration(_) => Kind::Duration,
            Self::Kind(_) => Kind::Type,
        }
    }

    pub fn owned_text(text: String) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    /// A copy that borrows nothing, for the constants of an expression.
    pub fn into_owned(self) -> Result<Value<'static>, Stop<'static>> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(holds) => Value::Bool(holds),
            Self::Int(number) => Value::Int(number),
            Self::Uint(number) => Value::Uint(number),
            Self::Double(number) => Value::Double(number),
            Self::Text(text) => Value::Text(Text::Shared(Arc::from(&*text))),
            Self::Bytes(bytes) => Value::Bytes(Bytes::Shared(Arc::from(&*bytes))),
            Self::List(list) => {
                let items = (0..list.len()).filter_map(|index| list.get(index).transpose());
                let items = items.map(|item| item.map_err(|_| Stop::RepeatedKey)?.into_owned());
                Value::List(List::Shared(items.collect::<Result<_, _>>()?))
            }
            Self::Map(map) => Value::Map(map.into_owned()?),
            Self::Instant(at) => Value::Instant(at),
            Self::Duration(nanos) => Value::Duration(nanos),
            Self::Kind(kind) => Value::Kind(kind),
        })
    }

    /// The same value, borrowed from this one unless a copy is cheap.
    pub fn reborrow(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(Text::Borrowed(text)),
            Self::Bytes(bytes) => Value::Bytes(Bytes::Borrowed(bytes)),
            Self::List(List::Shared(items)) => Value::List(List::Borrowed(items)),
            Self::Map(Map::Shared(entries)) => Value::Map(Map::Borrowed(entries)),
            other => other.clone(),
        }
    }
}

/// The kinds of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    List,
    Map,
    Timestamp,
    Duration,
    Type,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Null,
        Self::Bool,
        Self::Int,
        Self::Uint,
        Self::Double,
        Self::Text,
        Self::Bytes,
        Self::List,
        Self::Map,
        Self::Timestamp,
        Self::Duration,
        Self::Type,
    ];

    /// The name of the type in the language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::List => "list",
            Self::Map => "map",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::Type => "type",
        }
    }

    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }
}

/// Writes the kind with its article, for messages.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Uint => "a uint",
            Self::Double => "a double",
            Self::Text => "a string",
            Self::Bytes => "bytes",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Timestamp => "a timestamp",
            Self::Duration => "a duration",
            Self::Type => "a type",
        })
    }
}

/// A text.
#[derive(Debug, Clone)]
pub(super) enum Text<'v> {
    Borrowed(&'v str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// Bytes.
#[derive(Debug, Clone)]
pub(super) enum Bytes<'v> {
    Borrowed(&'v [u8]),
    Shared(Arc<[u8]>),
}

impl Deref for Bytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// A list.
#[derive(Debug, Clone)]
pub(super) enum List<'v> {
    Json(&'v [Json]),
    Borrowed(&'v [Value<'v>]),
    Shared(Arc<[Value<'v>]>),
}

impl<'v> List<'v> {
    pub fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Borrowed(items) => items.len(),
            Self::Shared(items) => items.len(),
        }
    }

    pub fn get(&self, index: usize) -> Result<Option<Value<'v>>, Stop<'v>> {
        match self {
            Self::Json(items) => items.get(index).map(from_json).transpose(),
            Self::Borrowed(items) => Ok(items.get(index).map(Value::reborrow)),
            Self::Shared(items) => Ok(items.get(index).cloned()),
        }
    }
}

/// The smallest whole number that a double can't tell from its neighbours: 2^53.
pub const EXACT_DOUBLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Converts a JSON value. A number without a fraction is an `int` if it fits, so that
/// `data.coins + 1` and `data.coins >= 10` work whether a producer sends `10` or `10.0`.
pub(super) fn from_json(value: &Json) -> Result<Value<'_>, Stop<'_>> {
    Ok(match value {
        Json::Null => Value::Null,
        Json::Bool(holds) => Value::Bool(*holds),
        Json::String(text) => Value::Text(Text::Borrowed(text)),
        Json::Array(items) => Value::List(List::Json(items)),
        Json::Object(fields) => Value::Map(Map::Json(fields)),
        Json::Number(number) => {
            if let Some(int) = number.as_i64() {
                return Ok(Value::Int(int));
            }
            if let Some(uint) = number.as_u64() {
                return Ok(Value::Uint(uint));
            }
            return fraction(number.as_f64().unwrap_or(f64::NAN));
        }
    })
}

/// Converts a number written with a fraction or an exponent. `10.0` is the integer 10, as in a
/// measure. If an integer could be meant, but reading lost digits, the result is an error rather
/// than a wrong value.
#[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
fn fraction(number: f64) -> Result<Value<'static>, Stop<'static>> {
    // 2^63 is the first float that is too large for an integer.
    let could_be_int = number.abs() < 9_223_372_036_854_775_808.0;
    if number.fract() != 0.0 || !could_be_int {
        Ok(Value::Double(number))
    } else if number.abs() < EXACT_DOUBLE_MAX {
        Ok(Value::Int(number as i64))
    } else {
        Err(Stop::Inexact(number))
    }
}
