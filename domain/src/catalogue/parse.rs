//! Task files: from text to definitions, or to every fault in it.
//!
//! A fault in one field does not hide those in others, so nothing here stops at the first one.
//! What the format knows and this version cannot do yet is a fault too, never ignored.

mod milestones;
mod node;
mod objective;
mod place;
mod prerequisites;
mod streak;
mod suggestion;
mod task;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::definition::TaskDefinition;
pub use node::FILE_BYTES_MAX;
use place::{Faults, Place};
use task::Draft;

/// The published JSON Schema of task files.
pub const SCHEMA: &str = include_str!("tasks.schema.json");

/// The language of files that name none.
const DEFAULT_LOCALE: &str = "en";

/// One reason why a task file is refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Such as `tasks[2].objective.on`; `file` where no part of it is meant.
    pub path: String,
    /// What is wrong and what would be right, in one line.
    pub message: String,
}

impl Fault {
    /// The longest message, in characters. Some messages repeat what they were given.
    const MESSAGE_CHARS_MAX: usize = 500;

    fn new(line: usize, column: usize, path: &str, message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        if let Some((end, _)) = message.char_indices().nth(Self::MESSAGE_CHARS_MAX) {
            message.truncate(end);
            message.push('…');
        }
        let message = message.replace(char::is_control, " ");
        let path = if path.is_empty() { "file" } else { path }.to_owned();
        Self { line, column, path, message }
    }

    /// A fault of the file as a whole, or of a text that is not even YAML.
    fn of_file(line: usize, column: usize, message: impl fmt::Display) -> Self {
        Self::new(line, column, "", message)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.line, self.column, self.path, self.message)
    }
}

/// A task and where it was written, for faults that only show beside other files or a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedTask {
    /// The task.
    pub definition: TaskDefinition,
    /// Such as `tasks[2]`.
    path: String,
    /// Line and column, by the path below the task; the task itself is at the empty path.
    places: BTreeMap<String, (usize, usize)>,
}

impl PlacedTask {
    /// A fault of a field of this task, such as `id` or `requires[1]`; of the task as a whole where
    /// the file has no such field.
    pub fn fault(&self, field: &str, message: impl fmt::Display) -> Fault {
        let known = self.places.get_key_value(field).or_else(|| self.places.get_key_value(""));
        let (field, (line, column)) = known.map_or(("", (1, 1)), |(f, at)| (f.as_str(), *at));
        let dot = if field.is_empty() { "" } else { "." };
        Fault::new(line, column, &format!("{}{dot}{field}", self.path), message)
    }
}

/// Reads a task file as [`parse`] does, and keeps where each task was written.
pub fn parse_placed(text: &str) -> Result<Vec<PlacedTask>, Vec<Fault>> {
    let root = node::load(text).map_err(|fault| vec![fault])?;
    let mut faults = Faults::default();
    let tasks = read_file(&Place { node: &root, path: String::new() }, &mut faults);
    let Faults(mut faults) = faults;
    match tasks {
        Some(tasks) if faults.is_empty() => Ok(tasks),
        _ => {
            faults.sort();
            Err(faults)
        }
    }
}

/// Reads a task file (YAML 1.2 or JSON). Every fault is reported, not only the first, in the order
/// of the file; a text that is no YAML has exactly one.
///
/// Needs nothing but the file: that `requires` names tasks that exist is checked where they are
/// published.
pub fn parse(text: &str) -> Result<Vec<TaskDefinition>, Vec<Fault>> {
    let placed = parse_placed(text)?;
    Ok(placed.into_iter().map(|task| task.definition).collect())
}

fn read_file(root: &Place<'_>, faults: &mut Faults) -> Option<Vec<PlacedTask>> {
    let fields = root.fields(&["tasks", "default_locale"], faults)?;
    let locale =
        fields.read_or("default_locale", DEFAULT_LOCALE, |place| task::locale(place, faults));
    let places = fields.require("tasks", faults)?.items(faults)?;
    // With a faulty default locale, every text would seem to lack it.
    let drafts: Vec<Draft<'_>> =
        places.iter().map(|place| Draft::read(place, locale, faults)).collect();
    refuse_duplicate_ids(&drafts, faults);
    prerequisites::refuse_cycles(&drafts, faults);
    let tasks = places.iter().zip(drafts).map(|(place, draft)| {
        let definition = draft.definition?;
        Some(PlacedTask { definition, path: place.path.clone(), places: draft.places })
    });
    tasks.collect()
}

fn refuse_duplicate_ids(drafts: &[Draft<'_>], faults: &mut Faults) {
    let mut lines = HashMap::new();
    for (id, place) in drafts.iter().filter_map(|draft| draft.id.as_ref()) {
        match lines.entry(id) {
            Entry::Vacant(free) => {
                free.insert(place.node.line);
            }
            Entry::Occupied(taken) => {
                faults.add(
                    place,
                    format_args!("{id} is already the id of the task in line {}", taken.get()),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
