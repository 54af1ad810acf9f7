//! The source files in force: those of the folder.

use std::sync::Arc;

use plaudit_actions::formats::Decoder;
use plaudit_actions::sources::{SourceError, SourceFile, Sources, files_of};
use plaudit_schemas::SchemaRegistry;
use tokio::runtime::Handle;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::count;

/// The files of the folder, and who decodes what they map. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceFiles {
    folder: Arc<[SourceFile]>,
    decoder: Option<Arc<dyn Decoder>>,
}

impl SourceFiles {
    /// Reads the files of the folder, and refuses what is wrong with them.
    pub fn read(config: &Config) -> Result<Self, Failure> {
        let folder = config.path("sources").unwrap_or_default();
        let files = files_of(&folder).map_err(refused)?;
        let files = files.iter().map(|file| SourceFile::read(file));
        let files: Vec<SourceFile> =
            files.collect::<Result<_, _>>().map_err(|error| refused(vec![error]))?;
        let files = Self { folder: files.into(), decoder: decoder(config)? };
        let sources = files.compile()?;
        if let (None, Some((topic, format))) = (&files.decoder, sources.needs_registry()) {
            return Err(Failure::new(format!(
                "a source file reads {topic} as {format}, which needs a schema registry; set \
                 `schema_registry` to its URL, such as http://registry:8081"
            )));
        }
        Ok(files)
    }

    /// The mappings in force.
    pub fn compile(&self) -> Result<Sources, Failure> {
        let sources = Sources::compile(&self.folder).map_err(refused)?;
        Ok(sources.with_decoder(self.decoder.clone()))
    }
}

/// The schema registry, if one is configured.
pub fn decoder(config: &Config) -> Result<Option<Arc<dyn Decoder>>, Failure> {
    let Some(url) = config.get("schema_registry") else { return Ok(None) };
    Ok(Some(Arc::new(SchemaRegistry::new(url, Handle::current())?)))
}

/// Names all that is wrong with source files.
fn refused(errors: Vec<SourceError>) -> Failure {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let errors = count(lines.len(), "error");
    Failure::new(format!("the source files have {errors}:\n{}", lines.join("\n")))
}
