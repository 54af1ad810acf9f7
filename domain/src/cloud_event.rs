//! CloudEvents as Plaudit writes them. The crate `actions` reads them.
//!
//! # Source
//!
//! CloudEvents 1.0.2 and its JSON format, in structured mode.

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// The content type of a CloudEvent in structured mode, with its encoding.
pub const STRUCTURED_UTF8: &str = "application/cloudevents+json; charset=UTF-8";

/// A CloudEvent. Its `specversion` is 1.0, and its data is JSON.
#[derive(Debug, Clone, Copy)]
pub struct CloudEvent<'a, D> {
    /// Unique within the source.
    pub id: &'a str,
    /// The sender.
    pub source: &'a str,
    /// Becomes `type`.
    pub kind: &'a str,
    /// The user.
    pub subject: &'a str,
    /// The time of the fact that the event reports.
    pub time: Timestamp,
    /// An object.
    pub data: D,
}

impl<D: Serialize> Serialize for CloudEvent<'_, D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut event = serializer.serialize_struct("CloudEvent", 8)?;
        event.serialize_field("specversion", "1.0")?;
        event.serialize_field("id", self.id)?;
        event.serialize_field("source", self.source)?;
        event.serialize_field("type", self.kind)?;
        event.serialize_field("subject", self.subject)?;
        event.serialize_field("time", &self.time)?;
        event.serialize_field("datacontenttype", "application/json")?;
        event.serialize_field("data", &self.data)?;
        event.end()
    }
}

impl<D: Serialize> CloudEvent<'_, D> {
    /// The JSON of the event.
    ///
    /// # Panics
    ///
    /// If the data can't be written as JSON; what Plaudit sends always can.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("the data of a CloudEvent can be written as JSON")
    }
}
