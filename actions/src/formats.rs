//! The formats of record values, and the interface for decoders that need a schema registry.

use std::fmt;

use serde_json::Value as Json;

/// The encoding of a record's values, set by `format` in a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Plain JSON.
    #[default]
    Json,
    /// Avro, prefixed with the id of its schema.
    Avro,
    /// Protobuf, prefixed with the id of its schema and the index of the message type.
    Protobuf,
    /// JSON, prefixed with the id of its JSON Schema.
    JsonSchema,
}

impl Format {
    /// All formats by their names in source files.
    pub const ALL: [(&'static str, Self); 4] = [
        ("json", Self::Json),
        ("avro", Self::Avro),
        ("protobuf", Self::Protobuf),
        ("json-schema", Self::JsonSchema),
    ];

    /// Returns the format with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Returns the name in source files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("json", |(name, _)| name)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decodes values whose schema is in a schema registry.
pub trait Decoder: fmt::Debug + Send + Sync {
    /// Decodes a value into JSON. Blocks while an unknown schema is fetched, up to a deadline, so
    /// it must not be called on a thread of the async runtime. Never called for [`Format::Json`].
    fn decode(&self, format: Format, value: &[u8]) -> Result<Json, DecodeError>;
}

/// The reason why a value was not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value can't be decoded now or later without a change by an operator. Its record is parked.
    #[error("{0}")]
    Unreadable(String),
    /// The schema is unavailable at the moment. The record waits.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// A schema is unavailable at the moment, so that a record can't be read yet. The text says which
/// schema and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);
