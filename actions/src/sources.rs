//! Source files: how the records of a topic become actions. Topics that no source file names carry
//! CloudEvents.

mod error;
mod file;
mod mapping;
mod trial;
mod variables;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;

use crate::cloud_events;
use crate::record::RawRecord;
use mapping::{COPIES_BYTES_MAX, Mapping};
use variables::Variables;

pub use error::SourceError;
pub use trial::{TrialError, TrialOutcome, TriedEntry, try_record};

/// What a record means for one user.
#[derive(Debug, Clone, PartialEq)]
pub enum Mapped {
    /// The user did something.
    Action(Action),
    /// It can't be understood, and is parked.
    Park(ParkReason),
}

/// Why a record, or its part for one user, is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkReason {
    /// The user it names; absent if that much was not understood.
    pub user: Option<UserId>,
    /// One line of at most 1,000 characters.
    pub reason: String,
    /// Whether the mapping can be mended, so that the user's later actions wait.
    pub repairable: bool,
}

/// The longest reason, in characters. Some repeat what the record holds.
const REASON_CHARS_MAX: usize = 1000;

impl ParkReason {
    fn new(user: Option<UserId>, reason: impl std::fmt::Display, repairable: bool) -> Self {
        Self { user, reason: one_line(&reason.to_string(), REASON_CHARS_MAX), repairable }
    }

    /// For a record that is not an action and never becomes one. It blocks no one.
    pub fn unreadable(reason: impl std::fmt::Display) -> Self {
        Self::new(None, reason, false)
    }

    /// For an action from the future. It blocks no one; releasing it applies it once its time came.
    pub fn too_early(user: UserId, reason: impl std::fmt::Display) -> Self {
        Self::new(Some(user), reason, false)
    }
}

fn one_line(text: &str, chars_max: usize) -> String {
    let mut line: String =
        text.chars().take(chars_max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(chars_max).is_some() {
        line.push('…');
    }
    line
}

/// The mappings of all source files, by topic.
#[derive(Debug, Default)]
pub struct Sources {
    by_topic: BTreeMap<String, Vec<Mapping>>,
}

impl Sources {
    /// Reads all source files (`.yaml`, `.yml`, `.json`) of a folder, which may be absent. The error
    /// lists everything that is wrong, not only the first.
    pub fn load(dir: &Path) -> Result<Self, Vec<SourceError>> {
        Self::from_files(&files_of(dir)?)
    }

    /// Reads these source files.
    pub fn from_files(files: &[PathBuf]) -> Result<Self, Vec<SourceError>> {
        let mut sources = Self::default();
        let mut errors = Vec::new();
        for file in files {
            match file::read(file) {
                Ok(mappings) => mappings.into_iter().for_each(|mapping| sources.add(mapping)),
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(sources) } else { Err(errors) }
    }

    fn add(&mut self, mapping: Mapping) {
        self.by_topic.entry(mapping.topic().to_owned()).or_default().push(mapping);
    }

    /// The topics that source files name.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.by_topic.keys().map(String::as_str)
    }

    /// Whether the records of a topic are mapped by a source file.
    pub fn maps(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// What a record means for each user of each mapping that applies. The same record always gives
    /// the same in the same order.
    pub fn map(&self, record: &RawRecord<'_>) -> Vec<Mapped> {
        match self.by_topic.get(record.topic) {
            None => vec![match cloud_events::from_record(record) {
                Ok(action) => Mapped::Action(action),
                Err(why) => Mapped::Park(ParkReason::unreadable(why)),
            }],
            Some(mappings) => match Variables::of(record) {
                Ok(variables) => {
                    parked_once(mappings.iter().flat_map(|m| m.map(&variables)).collect(), record)
                }
                Err(why) => vec![Mapped::Park(ParkReason::unreadable(why))],
            },
        }
    }
}

/// Limits the memory that copies of one record take. Each part that is parked keeps a copy of the
/// record; if all copies would take more than [`COPIES_BYTES_MAX`], the record is parked once as a
/// whole instead. That one names no user, so nobody's later actions wait for it.
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
    let why =
        format!("parked once instead of {copies} times, with what it means for others: {first}");
    vec![Mapped::Park(ParkReason::unreadable(why))]
}

/// The source files of a folder, in the order of their names.
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
            |e: &std::ffi::OsStr| ["yaml", "yml", "json"].iter().any(|wanted| e == *wanted);
        if path.extension().is_some_and(is_source) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Everything that is wrong with these source files: what `plaudit sources check` prints.
pub fn check(files: &[PathBuf]) -> Vec<SourceError> {
    Sources::from_files(files).err().unwrap_or_default()
}

#[cfg(test)]
mod tests;
