//! Records as they arrive, before they are interpreted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// A record as read from a topic, with borrowed bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// Time of production or of the append, as the topic is configured. Absent in records of very
    /// old producers.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The headers in order. If a name is repeated, the last one counts.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
    /// The value; absent for a tombstone.
    pub value: Option<&'a [u8]>,
}

impl<'a> RawRecord<'a> {
    /// Returns the last header with this name, ignoring case.
    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut headers = self.headers.iter().rev();
        headers.find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, value)| *value)
    }

    /// Returns the headers in the form in which a parked record keeps them: text as text, anything
    /// else as `{"base64": "…"}`. With `all`, adds the key and the timestamp under names reserved
    /// by Plaudit, since a mapping may need them when the record is released.
    pub fn parked_headers(&self, all: bool) -> Value {
        let value = |value: Option<&[u8]>| value.map_or(Value::Null, json_of);
        let mut headers: Map<String, Value> =
            self.headers.iter().map(|(name, v)| ((*name).to_owned(), value(*v))).collect();
        if let Some(key) = self.key.filter(|_| all) {
            headers.insert(KEY.to_owned(), json_of(key));
        }
        if let Some(timestamp) = self.timestamp.filter(|_| all) {
            headers.insert(TIMESTAMP.to_owned(), timestamp.to_string().into());
        }
        headers.into()
    }

    /// Returns the size of key, headers and value, in bytes.
    pub fn bytes(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + length(*value));
        length(self.key) + length(self.value) + headers.sum::<usize>()
    }
}

/// Converts bytes into JSON that [`bytes_of`] reads: text, or `{"base64": "…"}` if they are not
/// UTF-8 or contain NUL, which `PostgreSQL` can't store as text.
fn json_of(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Value::from(text),
        _ => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// A record that owns its bytes: polled, read from a file, or restored after parking.
#[derive(Debug, Clone, Default)]
pub struct OwnedRecord {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<Timestamp>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    value: Option<Vec<u8>>,
}

/// Names under which a parked record's headers hold its key and timestamp.
const KEY: &str = "plaudit_key";
const TIMESTAMP: &str = "plaudit_timestamp";

impl From<&RawRecord<'_>> for OwnedRecord {
    fn from(record: &RawRecord<'_>) -> Self {
        let owned = |bytes: &[u8]| bytes.to_vec();
        let header = |(name, value): &(&str, Option<&[u8]>)| ((*name).to_owned(), value.map(owned));
        Self {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(owned),
            headers: record.headers.iter().map(header).collect(),
            value: record.value.map(owned),
        }
    }
}

impl OwnedRecord {
    /// Borrows the record.
    pub fn as_raw(&self) -> RawRecord<'_> {
        RawRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            headers: self.headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect(),
            value: self.value.as_deref(),
        }
    }

    /// Restores a record from its parked form.
    pub fn from_parked(
        topic: &str,
        partition: i32,
        offset: i64,
        headers: &Value,
        bytes: &[u8],
    ) -> Self {
        let fields = headers.as_object().into_iter().flatten();
        let mut record = Self {
            topic: topic.to_owned(),
            partition,
            offset,
            value: Some(bytes.to_vec()),
            ..Self::default()
        };
        for (name, value) in fields {
            match name.as_str() {
                KEY => record.key = bytes_of(value),
                TIMESTAMP => record.timestamp = value.as_str().and_then(|at| at.parse().ok()),
                _ => record.headers.push((name.clone(), bytes_of(value))),
            }
        }
        record
    }

    /// Parses the record file of `plaudit sources try`: a JSON object with `topic`, `partition`,
    /// `offset`, `key`, `headers`, `timestamp` (RFC 3339, or milliseconds since 1970) and `value`.
    /// A string in `value` stands for its bytes, anything else for its JSON text.
    pub fn from_json(text: &str) -> Result<Self, String> {
        const FIELDS: [&str; 7] =
            ["topic", "partition", "offset", "timestamp", "key", "headers", "value"];
        let json: Value = serde_json::from_str(text).map_err(|e| format!("not valid JSON: {e}"))?;
        let fields = json.as_object().ok_or("a record file holds one JSON object")?;
        if let Some(name) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            let fields = FIELDS.join(", ");
            return Err(format!("`{name}` is not a field of a record, which has {fields}"));
        }
        let topic = fields.get("topic").and_then(Value::as_str);
        let number = |name: &str| fields.get(name).and_then(Value::as_i64).unwrap_or(0);
        let timestamp = match fields.get("timestamp") {
            None | Some(Value::Null) => None,
            Some(Value::String(at)) => {
                let invalid = |e| format!("`timestamp` is RFC 3339: {e}");
                Some(at.parse().map_err(invalid)?)
            }
            Some(other) => {
                let at = other.as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok());
                Some(at.ok_or("`timestamp` is RFC 3339, or milliseconds since 1970")?)
            }
        };
        let headers = match fields.get("headers") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Object(headers)) => {
                headers.iter().map(|(name, value)| (name.clone(), bytes_of(value))).collect()
            }
            Some(_) => return Err("`headers` is an object of texts".to_owned()),
        };
        Ok(Self {
            topic: topic.ok_or("`topic` is missing")?.to_owned(),
            partition: i32::try_from(number("partition")).unwrap_or(0),
            offset: number("offset"),
            timestamp,
            key: fields.get("key").and_then(bytes_of),
            headers,
            value: fields.get("value").and_then(bytes_of),
        })
    }
}

/// Reverses [`json_of`]. Other JSON becomes the bytes of its text.
fn bytes_of(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone().into_bytes()),
        other => {
            let encoded = other.as_object().filter(|o| o.len() == 1).and_then(|o| o.get("base64"));
            let decoded = encoded.and_then(Value::as_str).and_then(|t| STANDARD.decode(t).ok());
            Some(decoded.unwrap_or_else(|| other.to_string().into_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_21_a_record_comes_back_as_it_was_parked() {
        let record = RawRecord {
            key: Some(b"k"),
            timestamp: Some("2026-03-29T01:30:00Z".parse().unwrap()),
            value: Some(b"value"),
            headers: vec![
                ("a", Some(b"text")),
                ("b", Some(b"\xff\x00")),
                ("c", None),
                ("d", Some(b"a\0b")),
            ],
            ..RawRecord::default()
        };
        assert_eq!(record.bytes(), 1 + 5 + 5 + 3 + 1 + 4);
        assert_eq!(
            record.parked_headers(false),
            json!({"a": "text", "b": {"base64": "/wA="}, "c": null, "d": {"base64": "YQBi"}})
        );
        let headers = record.parked_headers(true);
        assert_eq!(
            (&headers[KEY], &headers[TIMESTAMP]),
            (&json!("k"), &json!("2026-03-29T01:30:00Z"))
        );
        let back = OwnedRecord::from_parked("t", 1, 2, &headers, b"value");
        let expected = RawRecord { topic: "t", partition: 1, offset: 2, ..record };
        assert_eq!(back.as_raw(), expected);
        assert_eq!(OwnedRecord::from(&expected).as_raw(), expected);
    }

    #[test]
    fn the_last_header_of_a_name_counts_whatever_its_case() {
        let headers = vec![("Content-Type", Some(&b"x"[..])), ("content-type", Some(b"y"))];
        let record = RawRecord { headers, ..RawRecord::default() };
        assert_eq!(record.header("content-type"), Some(&b"y"[..]));
        assert_eq!(record.header("other"), None);
    }

    #[test]
    fn a_record_file_is_an_object() {
        let text =
            r#"{"topic":"t","key":"k","headers":{"h":"v"},"timestamp":1000,"value":{"a":1}}"#;
        let record = OwnedRecord::from_json(text).unwrap();
        assert_eq!(record.as_raw().value, Some(&br#"{"a":1}"#[..]));
        assert_eq!(record.as_raw().timestamp, Some(Timestamp::from_second(1).unwrap()));
        for bad in
            ["", "[]", "{}", r#"{"topic":"t","vaule":1}"#, r#"{"topic":"t","timestamp":"x"}"#]
        {
            assert!(OwnedRecord::from_json(bad).is_err(), "{bad}");
        }
    }
}
