//! Protobuf messages as JSON.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor, SerializeOptions};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::Value as Json;

use crate::schema::SchemaText;
use crate::wire;

/// File name of the schema itself; no import has this name.
const FILE: &str = "plaudit/schema.proto";

/// Size limit of a message as JSON, in bytes. Unset fields appear with their defaults, so that a
/// small message may become a large one.
const JSON_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The messages of a schema.
pub struct ProtobufSchema(FileDescriptor);

/// Resolves the schema and its imports by their names.
struct Files(Vec<(String, String)>);

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(known, _)| known == name) {
            Some((_, text)) => file_of(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Parses a schema: the text of a `.proto` file, or the compiled file in base64, as the serializer
/// for Python registers it and some registries return it.
fn file_of(name: &str, text: &str) -> Result<File, protox::Error> {
    let compiled = STANDARD.decode(text.trim()).ok();
    let compiled = compiled.and_then(|bytes| FileDescriptorProto::decode(bytes.as_slice()).ok());
    match compiled {
        Some(compiled) => {
            let name = Some(name.to_owned());
            Ok(File::from_file_descriptor_proto(FileDescriptorProto { name, ..compiled }))
        }
        None => File::from_source(name, text),
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

/// A writer that fails once it would hold more than [`JSON_BYTES_MAX`].
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
