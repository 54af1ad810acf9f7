//! CloudEvents 1.0 on Kafka, in structured and in binary mode.
//!
//! # Source
//!
//! Kafka Protocol Binding for CloudEvents, version 1.0.2, sections 3.2 and 3.3. It defines no
//! batches.

use plaudit_domain::action::{Action, Parts, Unreadable, check_specversion};
use serde_json::{Map, Value};

use crate::record::RawRecord;

/// Reads a record as an action.
///
/// A record without a value is unreadable in either mode: an action without `data` says so by
/// `{}`, or in structured mode by leaving it out.
pub fn read(record: &RawRecord<'_>) -> Result<Action, Unreadable> {
    let value = record.value.filter(|value| !value.is_empty()).ok_or(Unreadable::Empty)?;
    let content_type =
        record.header("content-type").map(|t| String::from_utf8_lossy(t).into_owned());
    let media_type = content_type.as_deref().map(media_type);
    let is_binary = record.headers.iter().any(|(name, _)| name.starts_with("ce_"));
    match media_type.as_deref() {
        Some("application/cloudevents+json") => Action::from_structured(value),
        Some(other) if !is_json(other) => {
            Err(Unreadable::ContentType(content_type.unwrap_or_default()))
        }
        _ if is_binary => read_binary(record, value),
        _ => Action::from_structured(value),
    }
}

/// Whether a media type is that of one JSON value. The binding to Kafka defines no batches.
///
/// # Source
///
/// RFC 6839, section 3.1: `+json` marks what can be read as JSON.
fn is_json(media_type: &str) -> bool {
    media_type != "application/cloudevents-batch+json"
        && (media_type == "application/json" || media_type.ends_with("+json"))
}

/// The part of a content type before its parameters.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn read_binary(record: &RawRecord<'_>, value: &[u8]) -> Result<Action, Unreadable> {
    let attribute = |header: &'static str| {
        let bytes = record.header(header);
        let not_text = |_| Unreadable::Json(format!("the header {header} is not UTF-8"));
        bytes.map(|bytes| std::str::from_utf8(bytes).map_err(not_text)).transpose()
    };
    let required = |header, name| attribute(header)?.ok_or(Unreadable::Missing(name));
    check_specversion(attribute("ce_specversion")?)?;
    let json: Value = serde_json::from_slice(value).map_err(|e| Unreadable::Json(e.to_string()))?;
    let data: Map<String, Value> = match json {
        Value::Object(data) => data,
        _ => return Err(Unreadable::DataNotObject),
    };
    Action::new(Parts {
        user: required("ce_subject", "subject")?,
        source: required("ce_source", "source")?,
        id: required("ce_id", "id")?,
        kind: required("ce_type", "type")?,
        time: required("ce_time", "time")?,
        data,
    })
}
