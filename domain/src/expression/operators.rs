//! Arithmetic, order and equality.
//!
//! # Source
//!
//! CEL language definition, "Numeric Values", "Overflow", "Equality" and "Ordering".

use std::cmp::Ordering;
use std::mem::size_of;
use std::sync::Arc;

use super::budget::Budget;
use super::failure::Stop;
use super::plan::Arithmetic;
use super::value::{Bytes, Kind, List, Text, Value};

/// The kind of the result for operands of these kinds, if the operator takes them.
pub(super) fn arithmetic_kind(operator: Arithmetic, left: Kind, right: Kind) -> Option<Kind> {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    match (operator, left, right) {
        (_, Kind::Int, Kind::Int) => Some(Kind::Int),
        (_, Kind::Uint, Kind::Uint) => Some(Kind::Uint),
        (Add | Subtract | Multiply | Divide, Kind::Double, Kind::Double) => Some(Kind::Double),
        (Add, Kind::Text, Kind::Text) => Some(Kind::Text),
        (Add, Kind::Bytes, Kind::Bytes) => Some(Kind::Bytes),
        (Add, Kind::List, Kind::List) => Some(Kind::List),
        (Add, Kind::Duration, Kind::Timestamp)
        | (Add | Subtract, Kind::Timestamp, Kind::Duration) => Some(Kind::Timestamp),
        (Add | Subtract, Kind::Duration, Kind::Duration)
        | (Subtract, Kind::Timestamp, Kind::Timestamp) => Some(Kind::Duration),
        (Add | Subtract | Multiply | Divide | Remainder, _, _) => None,
    }
}

pub(super) fn arithmetic<'v>(
    operator: Arithmetic,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &mut Budget,
) -> Result<Value<'v>, Stop<'v>> {
    use Arithmetic::{Add, Divide, Remainder};
    let overflow = || Stop::Overflow(operator.name());
    Ok(match (operator, left, right) {
        (Divide | Remainder, Value::Int(_), Value::Int(0))
        | (Divide | Remainder, Value::Uint(_), Value::Uint(0)) => return Err(Stop::DivisionByZero),
        (_, Value::Int(a), Value::Int(b)) => {
            Value::Int(of_ints(operator, *a, *b).ok_or_else(overflow)?)
        }
        (_, Value::Uint(a), Value::Uint(b)) => {
            Value::Uint(of_uints(operator, *a, *b).ok_or_else(overflow)?)
        }
        (Add, Value::Text(a), Value::Text(b)) => {
            pay_for_copy(budget, a.len() + b.len())?;
            Value::owned_text([&**a, &**b].concat())
        }
        (Add, Value::Bytes(a), Value::Bytes(b)) => {
            pay_for_copy(budget, a.len() + b.len())?;
            Value::Bytes(Bytes::Shared([&**a, &**b].concat().into()))
        }
        (Add, Value::List(a), Value::List(b)) => Value::List(joined(a, b, budget)?),
        _ => return of_scalars(operator, left, right),
    })
}

fn of_ints(operator: Arithmetic, a: i64, b: i64) -> Option<i64> {
    match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
}

fn of_uints(operator: Arithmetic, a: u64, b: u64) -> Option<u64> {
    match operator {
        Arithmetic::Add => a.checked_add(b),
        Arithmetic::Subtract => a.checked_sub(b),
        Arithmetic::Multiply => a.checked_mul(b),
        Arithmetic::Divide => a.checked_div(b),
        Arithmetic::Remainder => a.checked_rem(b),
    }
}

/// Arithmetic of doubles, timestamps and durations.
fn of_scalars<'v>(
    operator: Arithmetic,
    left: &Value<'v>,
    right: &Value<'v>,
) -> Result<Value<'v>, Stop<'v>> {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    let overflow = || Stop::Overflow(operator.name());
    Ok(match (operator, left, right) {
        (Add, Value::Double(a), Value::Double(b)) => Value::Double(a + b),
        (Subtract, Value::Double(a), Value::Double(b)) => Value::Double(a - b),
        (Multiply, Value::Double(a), Value::Double(b)) => Value::Double(a * b),
        (Divide, Value::Double(a), Value::Double(b)) => Value::Double(a / b),
        (Add, Value::Instant(at), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::Instant(at)) => {
            Value::Instant(at.plus(*nanos).ok_or_else(overflow)?)
        }
        (Subtract, Value::Instant(at), Value::Duration(nanos)) => {
            Value::Instant(at.minus(*nanos).ok_or_else(overflow)?)
        }
        (Subtract, Value::Instant(at), Value::Instant(earlier)) => {
            Value::Duration(at.since(*earlier).ok_or_else(overflow)?)
        }
        (Add, Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_add(*b).ok_or_else(overflow)?)
        }
        (Subtract, Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(a.checked_sub(*b).ok_or_else(overflow)?)
        }
        _ => {
            return Err(Stop::NoOverload(operator.name(), left.kind(), Some(right.kind())));
        }
    })
}

/// Pays for a text that is put together and then shared, which copies it twice.
fn pay_for_copy(budget: &mut Budget, bytes: usize) -> Result<(), Stop<'static>> {
    budget.text(bytes)?;
    budget.bytes(2 * bytes + 32)
}

fn joined<'v>(a: &List<'v>, b: &List<'v>, budget: &mut Budget) -> Result<List<'v>, Stop<'v>> {
    let count = a.len() + b.len();
    budget.steps(count)?;
    budget.bytes(2 * count * size_of::<Value<'_>>() + 32)?;
    let mut items = Vec::with_capacity(count);
    for list in [a, b] {
        for index in 0..list.len() {
            items.extend(list.get(index)?);
        }
    }
    Ok(List::Shared(Arc::from(items)))
}

pub(super) fn negated(value: &Value<'_>) -> Result<Value<'static>, Stop<'static>> {
    match value {
        Value::Int(number) => number.checked_neg().map(Value::Int).ok_or(Stop::Overflow("-")),
        Value::Double(number) => Ok(Value::Double(-number)),
        other => Err(Stop::NoOverload("-", other.kind(), None)),
    }
}

/// True if `<` and the other comparisons of order take operands of these kinds.
pub(super) fn are_ordered(left: Kind, right: Kind) -> bool {
    let is_ordered =
        matches!(left, Kind::Bool | Kind::Text | Kind::Bytes | Kind::Timestamp | Kind::Duration);
    (left.is_number() && right.is_number()) || (is_ordered && left == right)
}

pub(super) fn order<'v>(
    name: &'static str,
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &mut Budget,
) -> Result<Ordering, Stop<'v>> {
    Ok(match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => {
            budget.text(a.len().min(b.len()))?;
            (**a).cmp(&**b)
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            budget.text(a.len().min(b.len()))?;
            (**a).cmp(&**b)
        }
        (Value::Instant(a), Value::Instant(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (a, b) if a.kind().is_number() && b.kind().is_number() => {
            number_order(a, b).ok_or(Stop::NotANumber)?
        }
        (a, b) => return Err(Stop::NoOverload(name, a.kind(), Some(b.kind()))),
    })
}

/// Compares two numbers of any kinds exactly; `None` if one is NaN.
fn number_order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (left, right) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => against_double(whole(b)?, *a).map(Ordering::reverse),
        (a, Value::Double(b)) => against_double(whole(a)?, *b),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it saturates far outside of 64 bits")]
fn against_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    let floor = double.floor();
    let order = whole.cmp(&(floor as i128));
    Some(if order.is_eq() && double > floor { Ordering::Less } else { order })
}

pub(super) fn same_number(left: &Value<'_>, right: &Value<'_>) -> bool {
    left.kind().is_number()
        && right.kind().is_number()
        && number_order(left, right) == Some(Ordering::Equal)
}

/// True if two values are equal. Values of different kinds are not, unless both are numbers.
pub(super) fn equal<'v>(
    left: &Value<'v>,
    right: &Value<'v>,
    budget: &mut Budget,
) -> Result<bool, Stop<'v>> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a.len() == b.len() && same_bytes(a, b, budget)?,
        (Value::Bytes(a), Value::Bytes(b)) => {
            budget.text(a.len().min(b.len()))?;
            **a == **b
        }
        (Value::List(a), Value::List(b)) => same_lists(a, b, budget)?,
        (Value::Map(a), Value::Map(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for key in a.keys() {
                // Two searches, in a map that may be large.
                budget.steps(8 + b.steps_to_find(key_bytes(&key)))?;
                let (Some(mine), Some(other)) = (a.get(&key)?, b.get(&key)?) else {
                    return Ok(false);
                };
                if !equal(&mine, &other, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Instant(a), Value::Instant(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Kind(a), Value::Kind(b)) => a == b,
        (a, b) => same_number(a, b),
    })
}

fn same_bytes(a: &Text<'_>, b: &Text<'_>, budget: &mut Budget) -> Result<bool, Stop<'static>> {
    budget.text(a.len())?;
    Ok(**a == **b)
}

fn same_lists<'v>(a: &List<'v>, b: &List<'v>, budget: &mut Budget) -> Result<bool, Stop<'v>> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for index in 0..a.len() {
        budget.steps(1)?;
        let (Some(mine), Some(other)) = (a.get(index)?, b.get(index)?) else { return Ok(false) };
        if !equal(&mine, &other, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The number of bytes that a search for this key compares.
pub(super) fn key_bytes(key: &Value<'_>) -> usize {
    match key {
        Value::Text(name) => name.len(),
        _ => 0,
    }
}

/// True if a list has the element, or a map the key.
pub(super) fn contains<'v>(
    needle: &Value<'v>,
    within: &Value<'v>,
    budget: &mut Budget,
) -> Result<bool, Stop<'v>> {
    match within {
        Value::List(items) => {
            for index in 0..items.len() {
                budget.steps(1)?;
                if let Some(item) = items.get(index)?
                    && equal(&item, needle, budget)?
                {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => {
            budget.steps(map.steps_to_find(key_bytes(needle)))?;
            match map.get(needle) {
                Ok(found) => Ok(found.is_some()),
                // The key exists, whatever its value is.
                Err(Stop::Inexact(_)) => Ok(true),
                Err(_) => Err(Stop::NoOverload("in", needle.kind(), Some(Kind::Map))),
            }
        }
        other => Err(Stop::NoOverload("in", needle.kind(), Some(other.kind()))),
    }
}
