//! The metadata of events: their cause and origin, which are not part of the fact.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use plaudit_domain::action::Action;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::batch::{Origin, SourcePosition};

/// The metadata of an event. Stored as a flat object of strings, the only form that stock cqrs-es
/// reads; keys that do not apply are left out. `docs/events.md` describes the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "docs/events.md describes the keys")]
pub struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub action_source: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub action_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub action_type: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub command: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub parked_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub backfill: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub topic: Option<Cow<'a, str>>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "digits",
        deserialize_with = "number"
    )]
    pub partition: Option<i32>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "digits",
        deserialize_with = "number"
    )]
    pub offset: Option<i64>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "digits",
        deserialize_with = "number"
    )]
    pub incarnation: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub request_id: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub sweeper: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "text")]
    pub follower: Option<Cow<'a, str>>,
}

impl<'a> Metadata<'a> {
    /// Builds the metadata for the events of one piece of work.
    pub(crate) fn new(
        origin: &'a Origin,
        action: Option<&'a Action>,
        command: Option<&'a str>,
    ) -> Self {
        let mut metadata = Self { command: command.map(Cow::Borrowed), ..Self::default() };
        if let Some(action) = action {
            metadata.action_source = Some(Cow::Borrowed(&action.source));
            metadata.action_id = Some(Cow::Borrowed(&action.id));
            metadata.action_type = Some(Cow::Borrowed(&action.kind));
        }
        match origin {
            Origin::Record(at) => metadata.add_source_position(at),
            Origin::Parked { id, from } => {
                metadata.parked_id = Some(id.to_string().into());
                from.iter().for_each(|at| metadata.add_source_position(at));
            }
            Origin::Backfill { task, from } => {
                metadata.backfill = Some(Cow::Borrowed(task.as_str()));
                from.iter().for_each(|at| metadata.add_source_position(at));
            }
            Origin::Request(id) => metadata.request_id = Some(id.to_string().into()),
            // The same for every kind of event that the sweeper writes, streaks included, so that
            // readers of stored events need one value only.
            Origin::Sweeper => metadata.sweeper = Some(Cow::Borrowed("rewards")),
            Origin::Follower => metadata.follower = Some(Cow::Borrowed("delivery")),
        }
        metadata
    }

    fn add_source_position(&mut self, at: &'a SourcePosition) {
        self.topic = Some(Cow::Borrowed(&at.topic));
        self.partition = Some(at.partition);
        self.offset = Some(at.offset);
        self.incarnation = (at.incarnation > 0).then_some(at.incarnation);
    }

    /// Returns the stored form.
    pub(crate) fn to_json(&self) -> Arc<str> {
        serde_json::to_string(self).expect("a flat object of strings can be written").into()
    }
}

impl Metadata<'static> {
    /// Reads stored metadata. Stock code may have written anything: a value that does not have
    /// Plaudit's form counts as missing.
    pub fn read(stored: &Value) -> Self {
        Self::deserialize(stored).unwrap_or_default()
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Cow<'static, str>>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(text) => Some(text.into()),
        _ => None,
    })
}

fn number<'de, D: Deserializer<'de>, N: FromStr>(from: D) -> Result<Option<N>, D::Error> {
    Ok(text(from)?.and_then(|digits| digits.parse().ok()))
}

#[expect(clippy::ref_option, reason = "serde gives the field by reference")]
fn digits<S: Serializer, N: ToString>(number: &Option<N>, to: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => to.serialize_str(&number.to_string()),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_a_flat_object_of_strings_that_reads_as_it_was() {
        let at = SourcePosition {
            topic: "plaudit.actions".into(),
            incarnation: 2,
            partition: 3,
            offset: 17,
        };
        let origin = Origin::Record(at);
        let written = Metadata::new(&origin, None, Some("adjust"));
        let stored: Value = serde_json::from_str(&written.to_json()).unwrap();
        let expected = json!({
            "command": "adjust", "topic": "plaudit.actions", "partition": "3", "offset": "17",
            "incarnation": "2",
        });
        assert_eq!(stored, expected);
        assert_eq!(Metadata::read(&stored), written);
    }

    #[test]
    fn what_stock_code_wrote_counts_as_missing_field_by_field() {
        let stored = json!({ "topic": "t", "partition": "third", "offset": null, "mine": "x" });
        let expected = Metadata { topic: Some("t".into()), ..Metadata::default() };
        assert_eq!(Metadata::read(&stored), expected);
        assert_eq!(Metadata::read(&json!("text")), Metadata::default());
    }
}
