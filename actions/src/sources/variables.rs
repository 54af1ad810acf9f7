//! A record as the expressions of a source file see it.

use std::collections::BTreeMap;

use plaudit_domain::expression::Variable;
use serde_json::Value as Json;

use crate::record::RawRecord;

/// The names that expressions of a source file may use.
pub const NAMES: [&str; 7] =
    ["value", "headers", "key", "topic", "partition", "offset", "timestamp"];

/// The name of one entry of `each`, for the fields of `action`.
pub const ITEM: &str = "item";

/// What [`NAMES`] and [`ITEM`] stand for, in this order. Expressions outside of `each` don't know the
/// last one.
pub type Values<'v> = [Variable<'v>; 8];

/// A record, parsed once for all expressions.
pub struct Variables<'r> {
    /// Absent: a tombstone; `when: value != null` leaves it out.
    value: Option<Json>,
    /// Of several headers of one name, the last.
    headers: Vec<(&'r str, Variable<'r>)>,
    record: &'r RawRecord<'r>,
}

impl<'r> Variables<'r> {
    /// `value` is the record's own, decoded; absent for a tombstone.
    pub fn of(record: &'r RawRecord<'_>, value: Option<Json>) -> Self {
        let headers: BTreeMap<&str, Variable<'_>> =
            record.headers.iter().map(|(name, value)| (*name, bytes(*value))).collect();
        Self { value, headers: headers.into_iter().collect(), record }
    }

    /// The values for one evaluation; `item` is an entry of `each`.
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

/// Bytes as expressions see them: a text if they are UTF-8.
fn bytes(bytes: Option<&[u8]>) -> Variable<'_> {
    let Some(bytes) = bytes else { return Variable::Null };
    std::str::from_utf8(bytes).map_or(Variable::Bytes(bytes), Variable::Text)
}
