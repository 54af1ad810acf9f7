//! The memory that JSON takes once it is parsed. Requests, records and items in flight are charged
//! by it, since a short text can take a hundred times its length.
//!
//! # Source
//!
//! A `serde_json::Value` has 32 bytes, and a growing list may hold half of its capacity in reserve.
//! A map is a node of 11 keys of 24 bytes and as many values, and a full node is split into two
//! half-empty ones. An allocation takes about 32 bytes.

use plaudit_domain::action::Action;
use serde_json::{Map, Value};

/// The bytes charged for an object, a field, an element of a list and a text.
const OBJECT_BYTES: usize = 700;
const FIELD_BYTES: usize = 112;
const ITEM_BYTES: usize = 48;
const TEXT_BYTES: usize = 32;

/// Returns an upper bound of the memory that a JSON text takes once parsed, in bytes, including its
/// own characters.
pub fn of_text(json: &[u8]) -> usize {
    let (mut bytes, mut in_text, mut is_escaped) = (json.len() + ITEM_BYTES, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => {
                in_text = !in_text;
                bytes += TEXT_BYTES / 2;
            }
            _ if in_text => {}
            b'{' => bytes += OBJECT_BYTES,
            b':' => bytes += FIELD_BYTES,
            b'[' | b',' => bytes += ITEM_BYTES,
            _ => {}
        }
    }
    bytes
}

/// Returns the memory that a parsed value takes, in bytes. At most [`of_text`] of its text.
pub fn of_value(value: &Value) -> usize {
    ITEM_BYTES + beside(value)
}

/// Returns the memory that the fields of an object take, in bytes.
pub fn of_object(fields: &Map<String, Value>) -> usize {
    let of_field =
        |(name, value): (&String, &Value)| FIELD_BYTES + TEXT_BYTES + name.len() + beside(value);
    // An empty map allocates nothing.
    let node = if fields.is_empty() { 0 } else { OBJECT_BYTES };
    node + fields.iter().map(of_field).sum::<usize>()
}

/// Returns the memory that an action's data and texts take, in bytes.
pub fn of_action(action: &Action) -> usize {
    let texts = [action.user.as_str(), &action.source, &action.id, &action.kind];
    of_object(&action.data) + texts.iter().map(|text| TEXT_BYTES + text.len()).sum::<usize>()
}

/// Returns the memory that a value takes outside of its own 32 bytes.
fn beside(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => TEXT_BYTES + text.len(),
        Value::Array(items) => items.iter().map(of_value).sum(),
        Value::Object(fields) => of_object(fields),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_charged_by_its_structure_and_not_by_its_characters() {
        let zeros = format!("[{}]", vec!["0"; 10_000].join(","));
        assert!(of_text(zeros.as_bytes()) > 10_000 * size_of::<Value>());
        let text = format!("\"{}\"", r#"[,{:\""#.repeat(10_000));
        assert!(of_text(text.as_bytes()) < text.len() + 1_000);
        let objects = format!("[{}]", vec![r#"{"":0}"#; 1_000].join(","));
        assert!(of_text(objects.as_bytes()) > 1_000 * 664);
    }

    #[test]
    fn a_value_is_charged_by_its_structure_and_never_above_its_text() {
        let objects = format!("[{}]", vec![r#"{"":0}"#; 1_000].join(","));
        for text in [
            objects.as_str(),
            r#"{"coins":50,"room":"r7","nested":{"list":[1,[2],{"a":"b"}],"none":null}}"#,
            "[[],{},[[]],\"\",true]",
            "\"text\"",
            "0",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(of_value(&value) <= of_text(text.as_bytes()), "{text}");
        }
        // A map with one field takes a whole node.
        let objects: Value = serde_json::from_str(&objects).unwrap();
        assert!(of_value(&objects) > 1_000 * 664);
    }
}
