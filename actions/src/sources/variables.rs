//! A record as the expressions of a source file see it.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value;
use cel::objects::{Key, Map};
use plaudit_domain::expression;
use serde_json::Value as Json;

use crate::record::RawRecord;

/// The names that expressions of a source file may use.
pub const NAMES: [&str; 7] =
    ["value", "headers", "key", "topic", "partition", "offset", "timestamp"];

/// The name of one entry of `each`, for the fields of `action`.
pub const ITEM: &str = "item";

/// The values of [`NAMES`], converted once for all expressions; with `each`, that of [`ITEM`] too.
#[derive(Clone)]
pub struct Variables(Vec<(&'static str, Value)>);

impl Variables {
    /// The error is a record whose value is not JSON.
    pub fn of(record: &RawRecord<'_>) -> Result<Self, String> {
        let value = match record.value {
            None => Value::Null, // a tombstone: `when: value != null` leaves it out
            Some(bytes) => {
                let json: Json = serde_json::from_slice(bytes).map_err(|e| {
                    format!("the value can't be read as JSON, which source files need: {e}")
                })?;
                expression::from_json(&json)
            }
        };
        let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(Arc::new(text.to_owned())),
            Err(_) => Value::Bytes(Arc::new(bytes.to_vec())),
        };
        let headers: HashMap<Key, Value> = record
            .headers
            .iter()
            .map(|(name, value)| (Key::from(*name), value.map_or(Value::Null, bytes)))
            .collect();
        let [value_name, headers_name, key, topic, partition, offset, timestamp] = NAMES;
        Ok(Self(vec![
            (value_name, value),
            (headers_name, Value::Map(Map { map: Arc::new(headers) })),
            (key, record.key.map_or(Value::Null, bytes)),
            (topic, Value::String(Arc::new(record.topic.to_owned()))),
            (partition, Value::Int(record.partition.into())),
            (offset, Value::Int(record.offset)),
            (timestamp, record.timestamp.map_or(Value::Null, expression::timestamp)),
        ]))
    }

    /// The same with an entry of `each`.
    pub fn with_item(&self, item: Value) -> Self {
        let mut variables = self.clone();
        variables.0.push((ITEM, item));
        variables
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        self.0.iter().cloned()
    }
}
