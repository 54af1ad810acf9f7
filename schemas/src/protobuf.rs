//! Protobuf messages as JSON.

use std::io::{self, Write};

use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor, SerializeOptions};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::Value as Json;

use crate::schema::SchemaText;
use crate::wire;

/// The name that the schema itself has among the files; no import has it.
const FILE: &str = "plaudit/schema.proto";

/// The most bytes that a message may take as JSON. Fields that are not set have their defaults there, so
/// that a small message may become a large one.
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The messages of a schema.
pub struct ProtobufSchema(FileDescriptor);

/// Finds the schema and those that it imports.
struct Files(Vec<(String, String)>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

impl ProtobufSchema {
    pub fn compile(schema: &SchemaText) -> Result<Self, String> {
        let imported = schema.references.iter().map(|r| (r.name.clone(), r.text.clone()));
        let files =
            Files([(FILE.to_owned(), schema.text.clone())].into_iter().chain(imported).collect());
        let mut resolver = ChainFileResolver::new();
        resolver.add(files);
        // The types of `google/protobuf/`, which registries do not have.
        resolver.add(GoogleFileResolver::new());
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(FILE).map_err(|e| e.to_string())?;
        let file = compiler.descriptor_pool().get_file_by_name(FILE);
        file.map(Self).ok_or_else(|| "it has no file".to_owned())
    }

    pub fn decode(&self, bytes: &[u8]) -> Result<Json, String> {
        let (path, bytes) = wire::message_index(bytes)?;
        let message = self.message(&path).ok_or_else(|| format!("it has no message {path:?}"))?;
        let message = DynamicMessage::decode(message, bytes).map_err(|e| e.to_string())?;
        let options = SerializeOptions::new()
            .stringify_64_bit_integers(false)
            .use_proto_field_name(true)
            .skip_default_fields(false);
        let mut json = Bounded(Vec::new());
        let mut serializer = serde_json::Serializer::new(&mut json);
        message.serialize_with_options(&mut serializer, &options).map_err(|e| e.to_string())?;
        serde_json::from_slice(&json.0).map_err(|e| e.to_string())
    }

    fn message(&self, path: &[usize]) -> Option<MessageDescriptor> {
        let (first, nested) = path.split_first()?;
        let mut message = self.0.messages().nth(*first)?;
        for level in nested {
            let child = message.child_messages().nth(*level)?;
            message = child;
        }
        Some(message)
    }
}

/// Bytes that end with an error before they are too many.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > JSON_BYTES_MAX {
            let why = format!("the message takes more than {JSON_BYTES_MAX} bytes as JSON");
            return Err(io::Error::other(why));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
