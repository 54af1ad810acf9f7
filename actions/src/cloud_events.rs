//! Converts CloudEvents 1.0 into actions, in structured and in binary mode.
//!
//! # Source
//!
//! CloudEvents 1.0.2, its JSON format, and its bindings to Kafka and HTTP. The binding to Kafka
//! defines no batches.

pub mod http;

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plaudit_domain::action::{self, Action, Parts};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::record::RawRecord;

/// Media type of a CloudEvent in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of an array of CloudEvents in structured mode. Only the HTTP binding has it.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// Prefix of attribute names among the headers of a Kafka record in binary mode.
pub const KAFKA_PREFIX: &str = "ce_";

/// The reason why a record or a request element is not an action. It is parked and blocks no one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The record has no bytes, and no headers that make it an action without data.
    #[error("the record is empty; an action is a CloudEvents 1.0 object")]
    Empty,
    /// The bytes are not JSON, or an attribute has the wrong type.
    #[error("not a CloudEvents 1.0 JSON object: {0}")]
    Json(String),
    /// A header with an attribute is not text.
    #[error("the header {0} is not UTF-8")]
    Header(String),
    /// The value of an HTTP header can't be decoded.
    #[error("the header {header}: {why}")]
    HeaderValue {
        /// The header's name.
        header: String,
        /// The reason why its value is invalid.
        why: http::InvalidHeaderValue,
    },
    /// The CloudEvent has another version.
    #[error("`specversion` is \"1.0\", got {0:?}")]
    SpecVersion(String),
    /// A required attribute is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The data is not a JSON object.
    #[error("`data` must be a JSON object")]
    DataNotObject,
    /// `data_base64` can't be decoded, or does not hold JSON.
    #[error("`data_base64` must hold a JSON object in base64: {0}")]
    Base64(String),
    /// The event has both `data` and `data_base64`.
    #[error("`data` and `data_base64` exclude each other")]
    DataTwice,
    /// The media type is not one that actions have.
    #[error(
        "actions don't have the content type {0:?}; send application/cloudevents+json or application/json"
    )]
    ContentType(String),
    /// The attributes or the data break a rule for actions.
    #[error(transparent)]
    Action(#[from] action::Unreadable),
}

/// Converts a Kafka record into an action.
///
/// The content type selects the mode; without one, headers that begin with `ce_` mean binary
/// mode. A record without a value is an action with the data `{}` in binary mode, and unreadable in
/// structured mode, where it may be a tombstone.
pub fn from_record(record: &RawRecord<'_>) -> Result<Action, Unreadable> {
    let content_type =
        record.header("content-type").map(|t| String::from_utf8_lossy(t).into_owned());
    let media_type = content_type.as_deref().map(media_type);
    let value = record.value.unwrap_or_default();
    let is_binary = record.headers.iter().any(|(name, _)| is_attribute(name));
    // Without data, the declared type of the data does not matter.
    let has_no_data = is_binary && value.is_empty();
    match media_type.as_deref() {
        Some(STRUCTURED) => from_structured(value),
        Some(BATCH) => Err(Unreadable::ContentType(BATCH.to_owned())),
        Some(other) if !is_json(other) && !has_no_data => {
            Err(Unreadable::ContentType(content_type.unwrap_or_default()))
        }
        _ if is_binary => from_binary(value, |name| attribute(record, name)),
        _ => from_structured(value),
    }
}

/// Returns true if a header of a Kafka record carries an attribute. Names are compared without
/// case, as in HTTP.
fn is_attribute(name: &str) -> bool {
    name.get(..KAFKA_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(KAFKA_PREFIX))
}

/// Returns the value of an attribute in binary mode. If a header is repeated, the last one counts.
fn attribute<'a>(record: &RawRecord<'a>, requested: &str) -> Option<&'a [u8]> {
    let is_requested = |name: &str| {
        is_attribute(name) && name[KAFKA_PREFIX.len()..].eq_ignore_ascii_case(requested)
    };
    record.headers.iter().rev().find(|(name, _)| is_requested(name)).and_then(|(_, value)| *value)
}

/// Returns true if the media type is that of a single JSON value.
///
/// # Source
///
/// RFC 6839, section 3.1: the suffix `+json` marks types that can be parsed as JSON.
fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// Returns the part of a content type before its parameters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Parses a CloudEvent in structured mode.
pub fn from_structured(bytes: &[u8]) -> Result<Action, Unreadable> {
    if bytes.is_empty() {
        return Err(Unreadable::Empty);
    }
    // serde would also accept an array of the right length, with its elements as the attributes.
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if begins.is_some_and(|byte| *byte == b'[') {
        return Err(Unreadable::Json("it is an array".to_owned()));
    }
    let event: Structured<'_> =
        serde_json::from_slice(bytes).map_err(|e| Unreadable::Json(e.to_string()))?;
    event.into_action()
}

/// Converts a CloudEvent in structured mode that is already parsed JSON.
pub fn from_json(value: &Value) -> Result<Action, Unreadable> {
    if value.is_array() {
        return Err(Unreadable::Json("it is an array".to_owned()));
    }
    let event = Structured::deserialize(value).map_err(|e| Unreadable::Json(e.to_string()))?;
    event.into_action()
}

/// Converts a CloudEvent in binary mode. `attribute` returns the value of an attribute by its name,
/// such as `id`; `body` is the data. An empty body means `{}`.
pub fn from_binary<'a>(
    body: &[u8],
    attribute: impl Fn(&'static str) -> Option<&'a [u8]>,
) -> Result<Action, Unreadable> {
    let text = |name: &'static str| {
        let not_text = |_| Unreadable::Header(format!("{KAFKA_PREFIX}{name}"));
        attribute(name).map(|bytes| std::str::from_utf8(bytes).map_err(not_text)).transpose()
    };
    let attributes = Attributes {
        specversion: text("specversion")?,
        source: text("source")?,
        id: text("id")?,
        kind: text("type")?,
        subject: text("subject")?,
        time: text("time")?,
    };
    attributes.check_version()?;
    let data = if body.iter().all(u8::is_ascii_whitespace) {
        Map::new()
    } else {
        object(serde_json::from_slice(body).map_err(|e| Unreadable::Json(e.to_string()))?)?
    };
    attributes.action(data)
}

fn object(value: Value) -> Result<Map<String, Value>, Unreadable> {
    match value {
        Value::Object(data) => Ok(data),
        _ => Err(Unreadable::DataNotObject),
    }
}

/// The fields of a CloudEvent in structured mode. Extension attributes are ignored.
#[derive(Deserialize)]
#[serde(expecting = "a JSON object with the attributes of a CloudEvent")]
struct Structured<'a> {
    #[serde(borrow)]
    specversion: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    data: Option<Value>,
    #[serde(borrow)]
    data_base64: Option<Cow<'a, str>>,
}

impl Structured<'_> {
    fn into_action(self) -> Result<Action, Unreadable> {
        let attributes = Attributes {
            specversion: self.specversion.as_deref(),
            source: self.source.as_deref(),
            id: self.id.as_deref(),
            kind: self.kind.as_deref(),
            subject: self.subject.as_deref(),
            time: self.time.as_deref(),
        };
        // Checked before the data, whose meaning in another version is unknown.
        attributes.check_version()?;
        let data = match (self.data, self.data_base64) {
            (Some(_), Some(_)) => return Err(Unreadable::DataTwice),
            (Some(data), None) => object(data)?,
            (None, Some(encoded)) => decoded(&encoded)?,
            (None, None) => Map::new(),
        };
        attributes.action(data)
    }
}

/// Decodes `data_base64`, which SDKs send for data that they hold as bytes.
///
/// # Source
///
/// CloudEvents JSON format 1.0.2, section 3.1.1.
fn decoded(encoded: &str) -> Result<Map<String, Value>, Unreadable> {
    let bytes = STANDARD.decode(encoded).map_err(|e| Unreadable::Base64(e.to_string()))?;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    object(serde_json::from_slice(&bytes).map_err(|e| Unreadable::Base64(e.to_string()))?)
}

/// The attributes of a CloudEvent in either mode, before validation.
struct Attributes<'a> {
    specversion: Option<&'a str>,
    source: Option<&'a str>,
    id: Option<&'a str>,
    kind: Option<&'a str>,
    subject: Option<&'a str>,
    time: Option<&'a str>,
}

impl Attributes<'_> {
    fn check_version(&self) -> Result<(), Unreadable> {
        match self.specversion {
            Some("1.0") => Ok(()),
            None => Err(Unreadable::Missing("specversion")),
            Some(other) => Err(Unreadable::SpecVersion(other.to_owned())),
        }
    }

    fn action(&self, data: Map<String, Value>) -> Result<Action, Unreadable> {
        Ok(Action::new(Parts {
            user: self.subject.ok_or(Unreadable::Missing("subject"))?,
            source: self.source.ok_or(Unreadable::Missing("source"))?,
            id: self.id.ok_or(Unreadable::Missing("id"))?,
            kind: self.kind.ok_or(Unreadable::Missing("type"))?,
            time: self.time.ok_or(Unreadable::Missing("time"))?,
            data,
        })?)
    }
}

#[cfg(test)]
mod tests;
