//! Task files: from YAML or JSON to definitions, or to every error with its place; and back.
//!
//! An error in one field does not hide those in others, so nothing here stops at the first one.
//! A field that the format has and this version can't act on yet is an error too, never ignored.
//!
//! Never does I/O, and never decides a rule of a task: the definitions and their invariants are
//! those of `plaudit_domain::catalogue::definition`.

mod dependencies;
mod diagnostic;
mod export;
mod located;
mod milestones;
mod node;
mod objective;
mod streak;
mod suggestion;
mod task;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use plaudit_domain::catalogue::definition::TaskDefinition;

pub use diagnostic::Diagnostic;
pub use export::{to_json, to_yaml};
pub use node::FILE_BYTES_MAX;

use located::{Diagnostics, Located};
use task::Draft;

/// The published JSON Schema of task files.
pub const SCHEMA: &str = include_str!("tasks.schema.json");

/// The language of files that name none.
const DEFAULT_LOCALE: &str = "en";

/// A task and where it was written, for errors that only show beside other files or a catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct LocatedTask {
    /// The task.
    pub definition: TaskDefinition,
    /// Such as `tasks[2]`.
    path: String,
    /// Line and column, by the path below the task; the task itself is at the empty path.
    places: BTreeMap<String, (usize, usize)>,
}

impl LocatedTask {
    /// A diagnostic for a field of this task, such as `id` or `requires[1]`; for the task as a whole
    /// if the file has no such field.
    pub fn diagnostic(&self, field: &str, message: impl fmt::Display) -> Diagnostic {
        let known = self.places.get_key_value(field).or_else(|| self.places.get_key_value(""));
        let (field, (line, column)) = known.map_or(("", (1, 1)), |(f, at)| (f.as_str(), *at));
        let dot = if field.is_empty() { "" } else { "." };
        Diagnostic::new(line, column, &format!("{}{dot}{field}", self.path), message)
    }
}

/// Reads a task file as [`parse`] does, and keeps where each task was written.
pub fn parse_located(text: &str) -> Result<Vec<LocatedTask>, Vec<Diagnostic>> {
    let root = node::load(text).map_err(|error| vec![error])?;
    let mut diagnostics = Diagnostics::default();
    let tasks = read_file(&Located { node: &root, path: String::new() }, &mut diagnostics);
    let Diagnostics(mut errors) = diagnostics;
    match tasks {
        Some(tasks) if errors.is_empty() => Ok(tasks),
        _ => {
            errors.sort();
            Err(errors)
        }
    }
}

/// Reads a task file (YAML 1.2 or JSON). Every error is reported, not only the first, in the order
/// of the file; a text that is not valid YAML has exactly one.
///
/// Needs nothing but the file: whether the tasks that `requires` names exist is checked when the
/// file is published.
pub fn parse(text: &str) -> Result<Vec<TaskDefinition>, Vec<Diagnostic>> {
    let located = parse_located(text)?;
    Ok(located.into_iter().map(|task| task.definition).collect())
}

fn read_file(root: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<LocatedTask>> {
    let fields = root.fields(&["tasks", "default_locale"], diagnostics)?;
    let locale =
        fields.read_or("default_locale", DEFAULT_LOCALE, |place| task::locale(place, diagnostics));
    let places = fields.require("tasks", diagnostics)?.items(diagnostics)?;
    // With an invalid default locale, every text would seem to lack it.
    let drafts: Vec<Draft<'_>> =
        places.iter().map(|place| Draft::read(place, locale, diagnostics)).collect();
    refuse_duplicate_ids(&drafts, diagnostics);
    dependencies::refuse_cycles(&drafts, diagnostics);
    let tasks = places.iter().zip(drafts).map(|(place, draft)| {
        let definition = draft.definition?;
        Some(LocatedTask { definition, path: place.path.clone(), places: draft.places })
    });
    tasks.collect()
}

fn refuse_duplicate_ids(drafts: &[Draft<'_>], diagnostics: &mut Diagnostics) {
    let mut lines = HashMap::new();
    for (id, place) in drafts.iter().filter_map(|draft| draft.id.as_ref()) {
        match lines.entry(id) {
            Entry::Vacant(free) => {
                free.insert(place.node.line);
            }
            Entry::Occupied(taken) => {
                diagnostics.add(
                    place,
                    format_args!("{id} is already the id of the task in line {}", taken.get()),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
