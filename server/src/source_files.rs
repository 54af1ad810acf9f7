//! The current source files: those of the folder, where a published file replaces the one of its
//! name.

mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use plaudit_actions::formats::Decoder;
use plaudit_actions::sources::{SourceError, SourceFile, Sources, files_of};
use plaudit_event_store::source_files::{self, PublishedFile};
use plaudit_schemas::SchemaRegistry;
use sqlx::PgPool;
use tokio::runtime::Handle;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::count;

pub use watch::SourceWatch;

/// The files of the folder as of the start, and the decoder for the records that they map. Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct SourceFiles {
    folder: Arc<[SourceFile]>,
    decoder: Option<Arc<dyn Decoder>>,
}

impl SourceFiles {
    /// Reads and checks the files of the folder.
    pub fn read(config: &Config) -> Result<Self, Failure> {
        let folder = config.path("sources").unwrap_or_default();
        let files = files_of(&folder).map_err(|errors| refused(&errors))?;
        let files = files.iter().map(|file| SourceFile::read(file));
        let files: Vec<SourceFile> =
            files.collect::<Result<_, _>>().map_err(|error| refused(&[error]))?;
        let files = Self { folder: files.into(), decoder: decoder(config)? };
        let sources = files.compile(&[])?;
        if let (None, Some((topic, format))) = (&files.decoder, sources.needs_registry()) {
            return Err(Failure::new(format!(
                "a source file reads {topic} as {format}, which needs a schema registry; set \
                 `schema_registry` to its URL, such as http://registry:8081"
            )));
        }
        Ok(files)
    }

    /// Compiles the files of the folder and the published ones.
    pub fn compile(&self, published: &[PublishedFile]) -> Result<Sources, Failure> {
        let sources = Sources::compile(&self.with(published)).map_err(|errors| refused(&errors))?;
        Ok(sources.with_decoder(self.decoder.clone()))
    }

    /// Compiles the current source files.
    pub async fn in_force(&self, pool: &PgPool) -> Result<Sources, Failure> {
        self.compile(&source_files::in_force(pool).await?.files)
    }

    /// The names of the files in the folder.
    pub fn folder_names(&self) -> impl Iterator<Item = String> {
        self.folder.iter().map(|file| name_of(&file.path))
    }

    fn with(&self, published: &[PublishedFile]) -> Vec<SourceFile> {
        let of_folder = self.folder.iter().map(|file| (name_of(&file.path), file.clone()));
        let published = published.iter().map(|file| {
            let text = file.content.clone();
            (file.name.clone(), SourceFile { path: PathBuf::from(&file.name), text })
        });
        let by_name: BTreeMap<String, SourceFile> = of_folder.chain(published).collect();
        by_name.into_values().collect()
    }
}

/// The name under which a file is published.
pub fn name_of(file: &std::path::Path) -> String {
    file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// The schema registry, if one is configured.
pub fn decoder(config: &Config) -> Result<Option<Arc<dyn Decoder>>, Failure> {
    let Some(url) = config.get("schema_registry") else { return Ok(None) };
    Ok(Some(Arc::new(SchemaRegistry::new(url, Handle::current())?)))
}

/// An error that lists all faults of source files.
fn refused(errors: &[SourceError]) -> Failure {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let errors = count(lines.len(), "error");
    Failure::new(format!("the source files have {errors}:\n{}", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(topic: &str) -> String {
        format!(
            "{{sources: [{{topic: {topic}, action: {{id: value.id, source: \"'/s'\", type: \"'t'\", \
             user: value.user, time: timestamp(value.at)}}}}]}}"
        )
    }

    #[test]
    fn a_published_file_takes_the_place_of_the_folders_file_of_its_name() {
        let of_folder = |name: &str, topic: &str| SourceFile {
            path: PathBuf::from("sources").join(name),
            text: file(topic),
        };
        let folder = [of_folder("a.yaml", "one"), of_folder("b.yaml", "two")];
        let files = SourceFiles { folder: folder.into(), decoder: None };
        let topics = |published: &[PublishedFile]| {
            let sources = files.compile(published).unwrap();
            sources.topics().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(topics(&[]), ["one", "two"]);
        let published =
            |name: &str, content| PublishedFile { name: name.into(), version: 1, content };
        let (instead, beside) =
            (published("a.yaml", file("three")), published("c.yaml", file("four")));
        assert_eq!(topics(&[instead, beside]), ["four", "three", "two"]);
        let wrong = files.compile(&[published("a.yaml", "sources: 5".into())]).unwrap_err();
        assert!(wrong.to_string().contains("a.yaml:1:10: sources: must be a list"), "{wrong}");
    }
}
