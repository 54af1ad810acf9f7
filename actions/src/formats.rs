//! The formats of records, and the interface of whoever decodes those that need a schema.

use std::fmt;

use serde_json::Value as Json;

/// The encoding of a record's value: `format` of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Plain JSON.
    #[default]
    Json,
    /// Avro, with the id of its schema before it.
    Avro,
    /// Protobuf, with the id of its schema and the message's index before it.
    Protobuf,
    /// JSON, with the id of its JSON Schema before it.
    JsonSchema,
}

impl Format {
    /// All formats, as source files name them.
    pub const ALL: [(&'static str, Self); 4] = [
        ("json", Self::Json),
        ("avro", Self::Avro),
        ("protobuf", Self::Protobuf),
        ("json-schema", Self::JsonSchema),
    ];

    /// The format of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// The name in source files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("json", |(name, _)| name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decodes values whose schema lies in a schema registry.
pub trait Decoder: fmt::Debug + Send + Sync {
    /// Gives the value as JSON. Waits for a schema that is not known yet, up to a deadline, so it must
    /// not be called on a thread of the async runtime. Not called for [`Format::Json`].
    fn decode(&self, format: Format, value: &[u8]) -> Result<Json, DecodeError>;
}

/// The reason why a value was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value never becomes readable, or not without somebody's help: its record is parked.
    #[error("{0}")]
    Unreadable(String),
    /// The schema can't be had at the moment: the record waits.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A schema that can't be had at the moment, so that nobody knows what a record means. It says what
/// is unavailable, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
