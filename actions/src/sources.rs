//! Source files, which map the records of a topic to actions. Topics that no source file names
//! carry CloudEvents.

mod error;
mod file;
mod mapping;
mod trial;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plaudit_domain::action::Action;
use plaudit_domain::expression::PatternTotal;
use plaudit_domain::ids::UserId;

use crate::cloud_events;
use crate::formats::{DecodeError, Decoder, Format, Unavailable};
use crate::record::RawRecord;
use mapping::{COPIES_BYTES_MAX, Mapping};
use variables::Variables;

pub use error::SourceError;
pub use trial::{TrialOutcome, TriedEntry};

/// The result of mapping a record for one user.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// The user did something.
    Action(Action),
    /// The record can't be understood for this user and is parked.
    Park(ParkReason),
}

/// The reason to park a record, or its part for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkReason {
    /// The user that it concerns; absent if the record could not be read that far.
    pub user: Option<UserId>,
    /// One line of at most 1,000 characters. If it was cut, the last one is `…`.
    pub reason: String,
    /// True if a new mapping can repair the record, so that the user's later actions wait for it.
    pub repairable: bool,
}

/// The longest reason, in characters. Reasons may quote the record.
const REASON_CHARS_MAX: usize = 1000;

impl ParkReason {
    fn new(user: Option<UserId>, reason: impl std::fmt::Display, repairable: bool) -> Self {
        Self { user, reason: one_line(&reason.to_string(), REASON_CHARS_MAX), repairable }
    }

    /// Returns the reason to park a record that can't become an action. It blocks no one.
    pub fn unreadable(reason: impl std::fmt::Display) -> Self {
        Self::new(None, reason, false)
    }

    /// Returns the reason to park an action whose time lies in the future. It blocks no one; once
    /// that time has come, releasing it applies it.
    pub fn too_early(user: UserId, reason: impl std::fmt::Display) -> Self {
        Self::new(Some(user), reason, false)
    }
}

/// Returns a text as one line of at most `chars_max` characters. If it is cut, the last one is `…`.
fn one_line(text: &str, chars_max: usize) -> String {
    let is_cut = text.chars().nth(chars_max).is_some();
    let kept = if is_cut { chars_max.saturating_sub(1) } else { chars_max };
    let line = text.chars().take(kept).map(|c| if c.is_control() { ' ' } else { c });
    line.chain(is_cut.then_some('…')).collect()
}

/// The mappings of all source files.
#[derive(Debug, Default)]
pub struct Sources {
    /// All mappings, in the order of the files.
    mappings: Vec<Mapping>,
    by_topic: BTreeMap<String, MappedTopic>,
    /// Absent if no schema registry is configured.
    decoder: Option<Arc<dyn Decoder>>,
}

/// The mapping of one topic.
#[derive(Debug)]
struct MappedTopic {
    format: Format,
    /// Indexes of the topic's entries in [`Sources::mappings`].
    entries: Vec<usize>,
}

impl Sources {
    /// Reads all source files (`.yaml`, `.yml`, `.json`) of a folder, which may be absent. The
    /// error lists all faults, not only the first.
    pub fn load(dir: &Path) -> Result<Self, Vec<SourceError>> {
        Self::from_files(&files_of(dir)?)
    }

    /// Reads these source files.
    pub fn from_files(files: &[PathBuf]) -> Result<Self, Vec<SourceError>> {
        Self::from_read(files.iter().map(|file| SourceFile::read(file)))
    }

    /// Compiles source files. The error lists all their faults.
    pub fn compile(files: &[SourceFile]) -> Result<Self, Vec<SourceError>> {
        Self::from_read(files.iter().cloned().map(Ok))
    }

    fn from_read(
        files: impl Iterator<Item = Result<SourceFile, SourceError>>,
    ) -> Result<Self, Vec<SourceError>> {
        let mut sources = Self::default();
        let (mut errors, mut patterns) = (Vec::new(), PatternTotal::default());
        for file in files {
            let parsed = file.map_err(|error| vec![error]);
            let parsed = parsed.and_then(|SourceFile { path, text }| {
                let mappings = file::parse(&path, &text, &mut patterns)?;
                Ok((mappings, path))
            });
            match parsed {
                Ok((mappings, path)) => {
                    errors.extend(mappings.into_iter().filter_map(|m| sources.add(m, &path).err()));
                }
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(sources) } else { Err(errors) }
    }

    /// Sets the decoder for formats that need a schema registry.
    #[must_use]
    pub fn with_decoder(mut self, decoder: Option<Arc<dyn Decoder>>) -> Self {
        self.decoder = decoder;
        self
    }

    /// Adds a mapping. Fails if its format differs from the topic's, since a record is decoded once
    /// for all entries of its topic.
    fn add(&mut self, mapping: Mapping, file: &Path) -> Result<(), SourceError> {
        let Mapping { topic, format, place, .. } = &mapping;
        let new = || MappedTopic { format: *format, entries: Vec::new() };
        let known = self.by_topic.entry(topic.clone()).or_insert_with(new);
        if known.format != *format {
            let first = known.entries.first().map_or("", |at| &self.mappings[*at].name);
            let why = format!(
                "is {format}, and {first} reads {topic} as {}; all entries of a topic have one format",
                known.format
            );
            return Err(SourceError::new(file, *place, "format", why));
        }
        known.entries.push(self.mappings.len());
        self.mappings.push(mapping);
        Ok(())
    }

    /// Returns the topics that source files name.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.by_topic.keys().map(String::as_str)
    }

    /// Returns true if a source file maps the topic.
    pub fn maps(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// Returns a topic that needs a schema registry, with its format.
    pub fn needs_registry(&self) -> Option<(&str, Format)> {
        let mut topics = self.by_topic.iter().map(|(topic, of)| (topic.as_str(), of.format));
        topics.find(|(_, format)| *format != Format::Json)
    }

    /// Maps a record for each user, by all mappings that apply. The same record always gives the
    /// same result in the same order. Fails if the record has to wait for its schema.
    pub fn map(&self, record: &RawRecord<'_>) -> Result<Vec<Mapped>, Unavailable> {
        let Some(topic) = self.by_topic.get(record.topic) else {
            return Ok(vec![match cloud_events::from_record(record) {
                Ok(action) => Mapped::Action(action),
                Err(why) => Mapped::Park(ParkReason::unreadable(why)),
            }]);
        };
        match self.variables(record, topic.format) {
            Ok(variables) => {
                let entries = topic.entries.iter().map(|at| &self.mappings[*at]);
                let mut data_bytes = 0;
                let mapped = entries.flat_map(|m| m.map(&variables, &mut data_bytes)).collect();
                Ok(parked_once(mapped, record))
            }
            Err(DecodeError::Unreadable(why)) => {
                Ok(vec![Mapped::Park(ParkReason::unreadable(why))])
            }
            Err(DecodeError::Unavailable(why)) => Err(why),
        }
    }

    /// Decodes a record into the variables of the expressions.
    fn variables<'r>(
        &self,
        record: &'r RawRecord<'_>,
        format: Format,
    ) -> Result<Variables<'r>, DecodeError> {
        let Some(bytes) = record.value else { return Ok(Variables::of(record, None)) };
        let value = match (format, &self.decoder) {
            (Format::Json, _) => serde_json::from_slice(bytes).map_err(|e| {
                let why = format!("the value can't be read as JSON, which source files need: {e}");
                DecodeError::Unreadable(why)
            })?,
            (format, Some(decoder)) => decoder.decode(format, bytes)?,
            (format, None) => {
                let why = format!(
                    "records of {} are {format}, and no schema registry is configured; set `schema_registry`",
                    record.topic
                );
                return Err(Unavailable(why).into());
            }
        };
        Ok(Variables::of(record, Some(value)))
    }
}

/// The text of a source file that is not compiled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path, or the name under which the file was published.
    pub path: PathBuf,
    /// The content.
    pub text: String,
}

impl SourceFile {
    /// Reads a file of at most 1 MiB.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        Ok(Self { path: path.to_owned(), text: file::read(path)? })
    }
}

/// Limits the memory for copies of one record. Each parked part keeps a copy of the record. If all
/// copies would exceed [`COPIES_BYTES_MAX`], the record is parked once as a whole instead. That
/// entry names no user, so no user's later actions wait for it.
fn parked_once(mapped: Vec<Mapped>, record: &RawRecord<'_>) -> Vec<Mapped> {
    let reason = |mapped: &Mapped| match mapped {
        Mapped::Park(park) => Some(park.reason.clone()),
        Mapped::Action(_) => None,
    };
    let copies = mapped.iter().filter_map(reason).count();
    if copies < 2 || copies.saturating_mul(record.bytes()) <= COPIES_BYTES_MAX {
        return mapped;
    }
    let first = mapped.iter().find_map(reason).unwrap_or_default();
    let why = format!("parked once instead of {copies} times; the first reason: {first}");
    vec![Mapped::Park(ParkReason::unreadable(why))]
}

/// Returns the source files of a folder, sorted by name.
pub fn files_of(dir: &Path) -> Result<Vec<PathBuf>, Vec<SourceError>> {
    let error =
        |e: std::io::Error| vec![SourceError::of_file(dir, 1, 1, format!("can't be read: {e}"))];
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(error)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        let is_source =
            |e: &std::ffi::OsStr| ["yaml", "yml", "json"].iter().any(|known| e == *known);
        if path.extension().is_some_and(is_source) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns all faults of these source files, as `plaudit sources check` prints them.
pub fn check(files: &[PathBuf]) -> Vec<SourceError> {
    Sources::from_files(files).err().unwrap_or_default()
}

#[cfg(test)]
mod tests;
