//! Schemas: as the registry stores them, and compiled.

use std::fmt;

use plaudit_actions::formats::Format;
use serde_json::Value as Json;

use crate::avro::AvroSchema;
use crate::json_schema::JsonSchema;
use crate::protobuf::ProtobufSchema;

/// A schema as the registry stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaText {
    pub kind: SchemaKind,
    pub text: String,
    /// The schemas that it refers to, directly or not. Each comes after those that it refers to.
    pub references: Vec<Reference>,
}

/// A schema that another one refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The name by which the other schema refers to it: a type, an imported file, or a URI.
    pub name: String,
    pub text: String,
}

/// The language of a schema: `schemaType` of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    Avro,
    Protobuf,
    Json,
}

impl SchemaKind {
    /// Parses the registry's name of a schema language. Absent means Avro, as in the first
    /// registries.
    pub fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("AVRO") => Some(Self::Avro),
            Some("PROTOBUF") => Some(Self::Protobuf),
            Some("JSON") => Some(Self::Json),
            Some(_) => None,
        }
    }

    fn format(self) -> Format {
        match self {
            Self::Avro => Format::Avro,
            Self::Protobuf => Format::Protobuf,
            Self::Json => Format::JsonSchema,
        }
    }
}

/// A compiled schema, which decodes values.
pub enum Schema {
    Avro(AvroSchema),
    Protobuf(ProtobufSchema),
    Json(JsonSchema),
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Schema").field(&self.kind()).finish()
    }
}

impl Schema {
    /// Compiles a schema. Takes a while, and panics if one of the libraries does.
    pub fn compile(schema: &SchemaText) -> Result<Self, String> {
        Ok(match schema.kind {
            SchemaKind::Avro => Self::Avro(AvroSchema::compile(schema)?),
            SchemaKind::Protobuf => Self::Protobuf(ProtobufSchema::compile(schema)?),
            SchemaKind::Json => Self::Json(JsonSchema::compile(schema)?),
        })
    }

    fn kind(&self) -> SchemaKind {
        match self {
            Self::Avro(_) => SchemaKind::Avro,
            Self::Protobuf(_) => SchemaKind::Protobuf,
            Self::Json(_) => SchemaKind::Json,
        }
    }

    /// Decodes the bytes after the number of the schema.
    pub fn decode(&self, expected: Format, bytes: &[u8]) -> Result<Json, String> {
        let found = self.kind().format();
        if found != expected {
            return Err(format!("it is a schema of the format {found}, not {expected}"));
        }
        match self {
            Self::Avro(schema) => schema.decode(bytes),
            Self::Protobuf(schema) => schema.decode(bytes),
            Self::Json(schema) => schema.decode(bytes),
        }
    }
}
