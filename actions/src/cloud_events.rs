//! CloudEvents 1.0 become actions, in structured and in binary mode.
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

/// The media type of a CloudEvent in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of an array of CloudEvents in structured mode. Only HTTP has it.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The prefix of the attributes' names among the headers of a Kafka record in binary mode.
pub const KAFKA_PREFIX: &str = "ce_";

/// Why a record or a request element is not an action. It is parked and blocks no one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There are no bytes, and no headers that make an action without data.
    #[error("the record is empty; an action is a CloudEvents 1.0 object")]
    Empty,
    /// Not JSON, or an attribute of the wrong type.
    #[error("not a CloudEvents 1.0 JSON object: {0}")]
    Json(String),
    /// An attribute in a header is not text.
    #[error("the header {0} is not UTF-8")]
    Header(String),
    /// The value of an HTTP header can't be decoded.
    #[error("the header {header}: {why}")]
    HeaderValue {
        /// The header's name.
        header: String,
        /// What is wrong with its value.
        why: http::InvalidHeaderValue,
    },
    /// A CloudEvent of another version.
    #[error("`specversion` is \"1.0\", got {0:?}")]
    SpecVersion(String),
    /// A required attribute is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The data is something else than a JSON object.
    #[error("`data` must be a JSON object")]
    DataNotObject,
    /// `data_base64` can't be decoded, or what it holds is not JSON.
    #[error("`data_base64` must hold a JSON object in base64: {0}")]
    Base64(String),
    /// The event has data twice.
    #[error("`data` and `data_base64` exclude each other")]
    DataTwice,
    /// The media type is not one of an action.
    #[error(
        "actions don't have the content type {0:?}; send application/cloudevents+json or application/json"
    )]
    ContentType(String),
    /// The attributes or the data are not those of an action.
    #[error(transparent)]
    Action(#[from] action::Unreadable),
}

/// Reads a Kafka record.
///
/// The content type decides; without one, headers that begin with `ce_` mean binary mode. In binary
/// mode a record without a value is an action with the data `{}`. In structured mode it is
/// unreadable, which a tombstone is too.
pub fn from_record(record: &RawRecord<'_>) -> Result<Action, Unreadable> {
    let content_type =
        record.header("content-type").map(|t| String::from_utf8_lossy(t).into_owned());
    let media_type = content_type.as_deref().map(media_type);
    let value = record.value.unwrap_or_default();
    let is_binary = record.headers.iter().any(|(name, _)| is_attribute(name));
    // Without data it does not matter which type the producer says that data has.
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

/// Whether a header of a Kafka record carries an attribute. Names are compared without their case,
/// as those of HTTP headers are.
fn is_attribute(name: &str) -> bool {
    name.get(..KAFKA_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(KAFKA_PREFIX))
}

/// The value of an attribute in binary mode. Of several headers of one name the last one counts.
fn attribute<'a>(record: &RawRecord<'a>, wanted: &str) -> Option<&'a [u8]> {
    let is_wanted =
        |name: &str| is_attribute(name) && name[KAFKA_PREFIX.len()..].eq_ignore_ascii_case(wanted);
    record.headers.iter().rev().find(|(name, _)| is_wanted(name)).and_then(|(_, value)| *value)
}

/// Whether a media type is that of one JSON value.
///
/// # Source
///
/// RFC 6839, section 3.1: `+json` marks what can be read as JSON.
fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

/// The part of a content type before its parameters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a CloudEvent in structured mode.
pub fn from_structured(bytes: &[u8]) -> Result<Action, Unreadable> {
    if bytes.is_empty() {
        return Err(Unreadable::Empty);
    }
    // serde would take an array of the right length too, its elements as the attributes.
    let begins = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if begins.is_some_and(|byte| *byte == b'[') {
        return Err(Unreadable::Json("it is an array".to_owned()));
    }
    let event: Structured<'_> =
        serde_json::from_slice(bytes).map_err(|e| Unreadable::Json(e.to_string()))?;
    event.into_action()
}

/// Reads a CloudEvent in structured mode that was already parsed as JSON.
pub fn from_json(value: &Value) -> Result<Action, Unreadable> {
    if value.is_array() {
        return Err(Unreadable::Json("it is an array".to_owned()));
    }
    let event = Structured::deserialize(value).map_err(|e| Unreadable::Json(e.to_string()))?;
    event.into_action()
}

/// Reads a CloudEvent in binary mode: `attribute` gives the value of an attribute by its name, such
/// as `id`, and `body` is the data. An empty body is `{}`.
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

/// A CloudEvent in structured mode, as far as it is read. Extension attributes are ignored.
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
        // Before the data: what another version means by it is not known.
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

/// Reads `data_base64`, which SDKs send for data that they hold as bytes, as `data` would be.
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

/// The attributes of a CloudEvent as they were found, in whichever mode it came.
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
