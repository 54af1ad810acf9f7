//! Reasons why an evaluation gave no value.

use std::fmt;

use super::budget::{BYTES_MAX, STEPS_MAX};
use super::value::{Kind, Value};

/// The reason why an evaluation stopped. It is cheap to make, because `&&`, `||` and loops drop
/// most of them again.
#[derive(Debug, Clone)]
pub(super) enum Stop<'v> {
    /// A map has no such field.
    MissingField(&'v str),
    /// A map has no such key, or a list no such index.
    MissingKey(Box<Value<'v>>),
    OutOfSteps,
    OutOfBytes,
    /// The expressions that share the allowance left less than this one takes.
    OutOfAllowance,
    /// An operator or a function does not take operands of these kinds.
    NoOverload(&'static str, Kind, Option<Kind>),
    NotBoolean(Kind),
    Overflow(&'static str),
    DivisionByZero,
    /// A number that JSON writes with a fraction or an exponent is too large to be exact.
    Inexact(f64),
    /// A function does not take this value, although it takes others of the kind.
    Unfit(&'static str, &'static str),
    RepeatedKey,
    /// A comparison with NaN.
    NotANumber,
}

impl Stop<'_> {
    /// True if the budget is used up. Neither `&&` nor `||` absorbs that.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::OutOfSteps | Self::OutOfBytes | Self::OutOfAllowance)
    }

    pub fn is_missing(&self) -> bool {
        matches!(self, Self::MissingField(_) | Self::MissingKey(_))
    }

    /// Of two failures, the one to report: a real failure rather than a missing field.
    pub fn or(self, other: Self) -> Self {
        if self.is_missing() { other } else { self }
    }
}

impl fmt::Display for Stop<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingField(name) => write!(f, "there is no field {:?}", excerpt(name)),
            Self::MissingKey(key) => match &**key {
                Value::Int(index) => write!(f, "there is nothing at {index}"),
                Value::Text(name) => write!(f, "there is no field {:?}", excerpt(name)),
                key => write!(f, "there is nothing at a key of type {}", key.kind()),
            },
            Self::OutOfSteps => write!(f, "it takes more than {STEPS_MAX} steps"),
            Self::OutOfBytes => write!(f, "it takes more than {BYTES_MAX} bytes of memory"),
            Self::OutOfAllowance => f.write_str(
                "it takes more than the other expressions of the same action, screen or record left of \
                 their common allowance",
            ),
            Self::NoOverload(name, left, Some(right)) => {
                write!(f, "`{name}` can't take {left} and {right}")
            }
            Self::NoOverload(name, kind, None) => write!(f, "`{name}` can't take {kind}"),
            Self::NotBoolean(kind) => write!(f, "{kind} where a boolean is required"),
            Self::Overflow(what) => write!(f, "`{what}` goes beyond what its type can hold"),
            Self::DivisionByZero => f.write_str("a division by zero"),
            Self::Inexact(number) => write!(
                f,
                "the number {number} was written with a fraction or an exponent and is not exact beyond \
                 2^53; send it as a plain integer"
            ),
            Self::Unfit(function, expected) => write!(f, "`{function}` needs {expected}"),
            Self::RepeatedKey => f.write_str("a map has the same key twice"),
            Self::NotANumber => f.write_str("NaN can't be ordered"),
        }
    }
}

/// The beginning of a text, for messages.
fn excerpt(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

/// The reason why an expression gave no value for an action or a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    /// The expression names a field that the data does not have. For a `where` that is an ordinary
    /// "no".
    #[error("{0}")]
    Missing(String),
    /// A wrong type, an overflow, a value that can't be converted, or a budget that is used up.
    #[error("{0}")]
    Failed(String),
}

impl From<Stop<'_>> for EvaluationError {
    fn from(stop: Stop<'_>) -> Self {
        if stop.is_missing() {
            Self::Missing(stop.to_string())
        } else {
            Self::Failed(stop.to_string())
        }
    }
}
