//! Where actions come from, and the mapping that turns records into actions.
//!
//! Topics that no source file speaks of carry CloudEvents. Nothing past [`Reading`] knows about
//! Kafka.

mod cloud_events;
mod fault;
mod file;
mod mapping;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use plaudit_domain::action::Action;
use plaudit_domain::ids::UserId;

use crate::record::RawRecord;
use mapping::{COPIES_BYTES_MAX, Mapping};

pub use fault::SourceFault;
pub use trial::{TrialError, TrialOutcome, Tried, try_record};

/// What a record means.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// Somebody did something.
    Action(Action),
    /// It can't be understood.
    SetAside(SetAside),
}

/// Why a record, or what it says of one user, can't be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Whom it speaks of, where that much was understood.
    pub user: Option<UserId>,
    /// Why, in one line.
    pub reason: String,
    /// Whether the mapping can be mended, so that the user's later actions wait.
    pub repairable: bool,
}

/// The longest reason, in characters. Some repeat what they were given.
const REASON_CHARS_MAX: usize = 1000;

impl SetAside {
    fn new(user: Option<UserId>, reason: impl std::fmt::Display, repairable: bool) -> Self {
        Self { user, reason: one_line(&reason.to_string(), REASON_CHARS_MAX), repairable }
    }

    /// For what is no action and never becomes one. It blocks no one.
    pub(crate) fn unreadable(reason: impl std::fmt::Display) -> Self {
        Self::new(None, reason, false)
    }

    /// For an action of a user that may be applied later, and until then blocks no one.
    pub(crate) fn too_early(user: UserId, reason: impl std::fmt::Display) -> Self {
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

/// All mappings, by topic.
#[derive(Debug, Default)]
pub struct Sources {
    by_topic: BTreeMap<String, Vec<Mapping>>,
}

impl Sources {
    /// Reads all source files (`.yaml`, `.yml`, `.json`) of a folder, which may be absent. All
    /// faults are named.
    pub fn load(dir: &Path) -> Result<Self, Vec<SourceFault>> {
        Self::from_files(&files_of(dir)?)
    }

    /// Reads these source files.
    pub fn from_files(files: &[PathBuf]) -> Result<Self, Vec<SourceFault>> {
        let mut sources = Self::default();
        let mut faults = Vec::new();
        for file in files {
            match file::read(file) {
                Ok(mappings) => mappings.into_iter().for_each(|mapping| sources.add(mapping)),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() { Ok(sources) } else { Err(faults) }
    }

    fn add(&mut self, mapping: Mapping) {
        self.by_topic.entry(mapping.topic().to_owned()).or_default().push(mapping);
    }

    /// The topics that source files speak of.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.by_topic.keys().map(String::as_str)
    }

    /// Whether the records of a topic are mapped by a source file.
    pub fn maps(&self, topic: &str) -> bool {
        self.by_topic.contains_key(topic)
    }

    /// What a record means: one reading for each user of each mapping that applies. The same record
    /// always has the same readings in the same order.
    pub fn read(&self, record: &RawRecord<'_>) -> Vec<Reading> {
        match self.by_topic.get(record.topic) {
            None => vec![match cloud_events::read(record) {
                Ok(action) => Reading::Action(action),
                Err(why) => Reading::SetAside(SetAside::unreadable(why)),
            }],
            Some(mappings) => match mapping::Facts::of(record) {
                Ok(facts) => {
                    bounded(mappings.iter().flat_map(|m| m.read(&facts)).collect(), record)
                }
                Err(why) => vec![Reading::SetAside(SetAside::unreadable(why))],
            },
        }
    }
}

/// The readings, or one for all of them where as many copies of the record would be set aside as no
/// memory is meant for. That one names no user, so nobody's later actions wait for it.
fn bounded(readings: Vec<Reading>, record: &RawRecord<'_>) -> Vec<Reading> {
    let set_aside = |reading: &Reading| match reading {
        Reading::SetAside(set_aside) => Some(set_aside.reason.clone()),
        Reading::Action(_) => None,
    };
    let copies = readings.iter().filter_map(set_aside).count();
    if copies < 2 || copies.saturating_mul(record.bytes()) <= COPIES_BYTES_MAX {
        return readings;
    }
    let first = readings.iter().find_map(set_aside).unwrap_or_default();
    let why =
        format!("set aside once instead of {copies} times, with what it means for others: {first}");
    vec![Reading::SetAside(SetAside::unreadable(why))]
}

/// The source files of a folder, in the order of their names.
pub fn files_of(dir: &Path) -> Result<Vec<PathBuf>, Vec<SourceFault>> {
    let fault =
        |e: std::io::Error| vec![SourceFault::of_file(dir, 1, 1, format!("can't be read: {e}"))];
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fault)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(fault)?.path();
        let is_source =
            |e: &std::ffi::OsStr| ["yaml", "yml", "json"].iter().any(|wanted| e == *wanted);
        if path.extension().is_some_and(is_source) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Every fault of these source files: what `plaudit sources check` says.
pub fn check(files: &[PathBuf]) -> Vec<SourceFault> {
    Sources::from_files(files).err().unwrap_or_default()
}

#[cfg(test)]
mod tests;
