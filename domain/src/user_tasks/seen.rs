//! The values that a period remembers beside its total: enough to count a value only once, or only
//! the latest one.

mod value_set;

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::calendar::PeriodKey;
use crate::ids::TaskId;

pub use value_set::{InvalidValueSet, SMALL_SET_MAX, ValueSet};

/// Limit on the different values, days or completions that one period counts. Task files with a
/// higher target are refused.
pub const SEEN_PER_PERIOD_MAX: usize = 10_000;

/// Limit on the values that all open periods of a task remember together. Only a long `lateness`
/// keeps so many open.
pub const SEEN_PER_TASK_MAX: usize = 2 * SEEN_PER_PERIOD_MAX;

/// The values counted in a period, by the measure of the version it goes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen {
    /// `latest`: the time of the action whose value stands.
    Latest(Timestamp),
    /// `distinct`: the values.
    Values(ValueSet),
    /// `days`: the days.
    Days(BTreeSet<PeriodKey>),
    /// A composite: the tasks whose completions count.
    Completions(BTreeSet<TaskId>),
}

/// The value that an action adds to [`Seen`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NewlySeen {
    /// The time of the action, which is the latest one.
    Latest(Timestamp),
    Value(ValueHash),
    Day(PeriodKey),
    Completion(TaskId),
}

impl Seen {
    /// True if the value, day or completion was counted before.
    pub(super) fn contains(&self, candidate: &NewlySeen) -> bool {
        match (self, candidate) {
            (Self::Values(values), NewlySeen::Value(value)) => values.contains(*value),
            (Self::Days(days), NewlySeen::Day(day)) => days.contains(day),
            (Self::Completions(tasks), NewlySeen::Completion(task)) => tasks.contains(task),
            _ => false,
        }
    }

    /// The number of values, days or completions remembered.
    pub fn len(&self) -> usize {
        match self {
            Self::Latest(_) => 0,
            Self::Values(values) => values.len(),
            Self::Days(days) => days.len(),
            Self::Completions(tasks) => tasks.len(),
        }
    }

    /// True if no value, day or completion is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The form stored in the row of the task: without the chunks of a large set, which are rows of
    /// their own.
    pub fn in_row(&self) -> Cow<'_, Self> {
        match self {
            Self::Values(values) if values.is_large() => {
                let mut values = values.clone();
                values.forget_chunks();
                Cow::Owned(Self::Values(values))
            }
            _ => Cow::Borrowed(self),
        }
    }

    /// Adds a newly counted value. Values that another measure remembered are dropped: the period
    /// went over to a version that measures differently.
    pub(super) fn add(before: Option<Self>, newly: NewlySeen) -> Self {
        match newly {
            NewlySeen::Latest(at) => Self::Latest(at),
            NewlySeen::Value(value) => {
                let mut values = match before {
                    Some(Self::Values(values)) => values,
                    _ => ValueSet::default(),
                };
                values.insert(value);
                Self::Values(values)
            }
            NewlySeen::Day(day) => {
                let mut days = match before {
                    Some(Self::Days(days)) => days,
                    _ => BTreeSet::new(),
                };
                days.insert(day);
                Self::Days(days)
            }
            NewlySeen::Completion(task) => {
                let mut tasks = match before {
                    Some(Self::Completions(tasks)) => tasks,
                    _ => BTreeSet::new(),
                };
                tasks.insert(task);
                Self::Completions(tasks)
            }
        }
    }
}

/// The hash of a JSON value: 12 bytes of a SHA-1, so that two of 10,000 values are taken for one
/// with a probability of about 10⁻¹⁹. Written as 16 characters of base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ValueHash([u8; Self::BYTES]);

/// The namespace of [`ValueHash`]. Fixed, because hashes are stored.
const VALUE_NAMESPACE: Uuid = Uuid::from_u128(0x8f0d_6f0c_93a1_5c0e_a6d5_1b52_6a0e_3c47);

impl ValueHash {
    const BYTES: usize = 12;

    /// Hashes a JSON value. Equal values have equal hashes: numbers are compared by value, objects
    /// without regard to the order of their fields.
    pub fn of(value: &Value) -> Self {
        let mut bytes = Vec::new();
        write_unambiguously(value, &mut bytes);
        Self::of_bytes(&bytes)
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let uuid = Uuid::new_v5(&VALUE_NAMESPACE, bytes);
        let mut hash = [0; Self::BYTES];
        hash.copy_from_slice(&uuid.as_bytes()[..Self::BYTES]);
        Self(hash)
    }
}

impl From<String> for ValueHash {
    /// Reads any text, because events come from stock postgres-es as well: a text that is not a
    /// hash is hashed itself.
    fn from(text: String) -> Self {
        let decoded = URL_SAFE_NO_PAD.decode(&text).ok().and_then(|bytes| bytes.try_into().ok());
        decoded.map_or_else(|| Self::of_bytes(text.as_bytes()), Self)
    }
}

impl From<ValueHash> for String {
    fn from(ValueHash(bytes): ValueHash) -> Self {
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

/// Writes a value so that two values give the same bytes exactly if they are equal.
fn write_unambiguously(value: &Value, bytes: &mut Vec<u8>) {
    match value {
        Value::Null => bytes.push(b'0'),
        Value::Bool(false) => bytes.push(b'f'),
        Value::Bool(true) => bytes.push(b't'),
        Value::Number(number) => bytes.extend(number_by_value(number).bytes()),
        Value::String(text) => write_text(text, bytes),
        Value::Array(items) => {
            bytes.extend(format!("a{}:", items.len()).bytes());
            items.iter().for_each(|item| write_unambiguously(item, bytes));
        }
        Value::Object(fields) => {
            bytes.extend(format!("o{}:", fields.len()).bytes());
            let sorted: std::collections::BTreeMap<_, _> = fields.iter().collect();
            for (name, value) in sorted {
                write_text(name, bytes);
                write_unambiguously(value, bytes);
            }
        }
    }
}

fn write_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend(format!("s{}:", text.len()).bytes());
    bytes.extend(text.bytes());
}

/// Writes a number so that `1`, `1.0` and `1e0` give the same text.
fn number_by_value(number: &serde_json::Number) -> String {
    // Below 2^127 a double without a fraction is an integer that converts exactly.
    const INTEGERS_BELOW: f64 = 1.7e38;
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (integer, number.as_f64()) {
        (Some(integer), _) => format!("i{integer};"),
        #[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
        (None, Some(float)) if float.fract() == 0.0 && float.abs() < INTEGERS_BELOW => {
            format!("i{};", float as i128)
        }
        (None, float) => format!("d{};", float.unwrap_or_default().to_bits()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_equal_as_json_values_are() {
        let same = [
            (json!(1), json!(1.0)),
            (json!(100), json!(1e2)),
            (json!(0), json!(-0.0)),
            (json!(u64::MAX), json!(u64::MAX)),
            (json!({ "a": 1, "b": [2.0] }), json!({ "b": [2], "a": 1.0 })),
        ];
        for (a, b) in same {
            assert_eq!(ValueHash::of(&a), ValueHash::of(&b), "{a} {b}");
        }
        let different = [
            json!(1),
            json!("1"),
            json!(true),
            json!(1.5),
            json!([1]),
            json!([[1]]),
            json!([1, 1]),
            json!(["a", "b"]),
            json!(["ab"]),
            json!({ "a": 1 }),
            json!({ "a": "1" }),
            json!(""),
            json!([]),
            json!({}),
            json!(-1),
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0),
            json!(1e300),
            json!("Á"),
            json!("A\u{301}"),
        ];
        let hashes: BTreeSet<_> = different.iter().map(ValueHash::of).collect();
        assert_eq!(hashes.len(), different.len());
    }

    #[test]
    fn hashes_are_stored_so_they_never_change() {
        let text = |value: &Value| String::from(ValueHash::of(value));
        assert_eq!(text(&json!("r7")), "LjyEAW3mWfiwUFgj");
        assert_eq!(text(&json!(42)), "LNXVjywDVhqrIHbZ");
    }

    #[test]
    fn any_text_can_be_read_as_a_hash() {
        let hash = ValueHash::of(&json!("r7"));
        assert_eq!(ValueHash::from(String::from(hash)), hash);
        let foreign = ["", "r7", "a text of another writer"].map(|t| ValueHash::from(t.to_owned()));
        assert_eq!(BTreeSet::from(foreign).len(), 3);
    }
}
