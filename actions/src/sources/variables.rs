//! The variables that expressions of a source file can use.

use std::collections::BTreeMap;

use plaudit_domain::expression::Variable;
use serde_json::Value as Json;

use crate::record::RawRecord;

/// Names of the variables.
pub const NAMES: [&str; 7] =
    ["value", "headers", "key", "topic", "partition", "offset", "timestamp"];

/// Name of an entry of `each` in the fields of `action`.
pub const ITEM: &str = "item";

/// The values of [`NAMES`] and [`ITEM`], in this order. The last one is only known to expressions
/// below `each`.
pub type Values<'v> = [Variable<'v>; 8];

/// The variables of a record, parsed once for all expressions.
pub struct Variables<'r> {
    /// Absent for a tombstone, which `when: value != null` leaves out.
    value: Option<Json>,
    /// If a header is repeated, the last one counts.
    headers: Vec<(&'r str, Variable<'r>)>,
    record: &'r RawRecord<'r>,
}

impl<'r> Variables<'r> {
    /// Prepares the variables. `value` is the record's decoded value; absent for a tombstone.
    pub fn of(record: &'r RawRecord<'_>, value: Option<Json>) -> Self {
        let headers: BTreeMap<&str, Variable<'_>> =
            record.headers.iter().map(|(name, value)| (*name, bytes(*value))).collect();
        Self { value, headers: headers.into_iter().collect(), record }
    }

    /// Returns the values for one evaluation. `item` is an entry of `each`.
    pub fn values<'v>(&'v self, item: Option<&'v Json>) -> Values<'v> {
        [
            self.value.as_ref().map_or(Variable::Null, Variable::Json),
            Variable::Fields { own: &self.headers, others: None },
            bytes(self.record.key),
            Variable::Text(self.record.topic),
            Variable::Integer(self.record.partition.into()),
            Variable::Integer(self.record.offset),
            self.record.timestamp.map_or(Variable::Null, Variable::Instant),
            item.map_or(Variable::Null, Variable::Json),
        ]
    }
}

/// Converts bytes into a variable: a text if they are UTF-8.
fn bytes(bytes: Option<&[u8]>) -> Variable<'_> {
    let Some(bytes) = bytes else { return Variable::Null };
    std::str::from_utf8(bytes).map_or(Variable::Bytes(bytes), Variable::Text)
}
