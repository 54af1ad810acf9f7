//! Task files: from YAML or JSON to definitions, or to all errors with their positions; and back.
//!
//! An error in one field does not hide those in others, so nothing here stops at the first one.
//!
//! Never does I/O, and never decides a rule of a task: the definitions and their invariants are
//! those of `plaudit_domain::catalogue::definition`.

mod audience;
mod budgets;
mod dependencies;
mod diagnostic;
mod diff;
mod export;
mod located;
mod meta;
mod milestones;
mod node;
mod objective;
mod rewards;
mod streak;
mod task;
mod text;
mod warnings;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::action::RecentFields;
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use plaudit_domain::suggestion;

pub use diagnostic::Diagnostic;
pub use diff::{Change, diff};
pub use export::{to_json, to_yaml};
pub use node::FILE_BYTES_MAX;

use located::{Diagnostics, Located};
use task::Draft;
use warnings::uncapped;

/// The published JSON Schema of task files.
pub const SCHEMA: &str = include_str!("tasks.schema.json");

/// The language of files that name none.
const DEFAULT_LOCALE: &str = "en";

/// A task and its position in the file, for errors that show only beside other files or a
/// catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct LocatedTask {
    /// The task.
    pub definition: TaskDefinition,
    /// The task's path in the file, such as `tasks[2]`.
    path: String,
    /// Line and column, by the path below the task; the task itself is at the empty path.
    places: BTreeMap<String, (usize, usize)>,
    /// Warnings that depend on neither the time nor the catalogue.
    fixed_warnings: Vec<Diagnostic>,
    /// The tasks of the file.
    in_file: Arc<BTreeSet<TaskId>>,
}

impl LocatedTask {
    /// A diagnostic for a part of this task, such as `id` or `requires[1]`. If the file does not
    /// have that part, it points at the nearest part around it.
    pub fn diagnostic(&self, field: &str, message: impl fmt::Display) -> Diagnostic {
        // `target` and `rewards` are short for one milestone.
        let short = match field.strip_prefix("milestones[0].").unwrap_or(field) {
            "at" => "objective.target",
            short => short,
        };
        let candidates = ancestors(short).chain(ancestors(field)).filter(|part| !part.is_empty());
        let known = candidates.filter_map(|part| self.places.get_key_value(part));
        let nearest = known.max_by_key(|(part, _)| part.len());
        let known = nearest.or_else(|| self.places.get_key_value(""));
        let (field, (line, column)) = known.map_or(("", (1, 1)), |(f, at)| (f.as_str(), *at));
        let dot = if field.is_empty() { "" } else { "." };
        Diagnostic::new(line, column, &format!("{}{dot}{field}", self.path), message)
    }

    /// Returns the warnings about this task, in the order of the file: those that hold at any time,
    /// those that hold at `now`, and those that follow from the catalogue in force, if one is
    /// given.
    pub fn warnings(&self, now: Timestamp, catalogue: Option<&Catalogue>) -> Vec<Diagnostic> {
        self.all_warnings(now, catalogue, &RecentFields::default())
    }

    /// Like [`Self::warnings`], and also compares the task with the fields that recent actions had.
    pub fn warnings_beside(
        &self,
        now: Timestamp,
        catalogue: &Catalogue,
        recent: &RecentFields,
    ) -> Vec<Diagnostic> {
        self.all_warnings(now, Some(catalogue), recent)
    }

    /// Returns the warnings about tasks that this one counts: those of `drafts`, else those of the
    /// catalogue in force, if one is given.
    pub fn warnings_of_counted(
        &self,
        drafts: &[&TaskDefinition],
        catalogue: Option<&Catalogue>,
    ) -> Vec<Diagnostic> {
        let found = warnings::counted::other_periods(&self.definition, |id| {
            let draft = drafts.iter().copied().find(|draft| draft.id == *id);
            draft.or_else(|| Some(&catalogue?.task(id)?.current().definition))
        });
        found.into_iter().map(|(path, message)| self.diagnostic(&path, message)).collect()
    }

    fn all_warnings(
        &self,
        now: Timestamp,
        catalogue: Option<&Catalogue>,
        recent: &RecentFields,
    ) -> Vec<Diagnostic> {
        let found = warnings::of(&self.definition, now, catalogue, recent).into_iter();
        let beside = catalogue.map(|c| uncapped::beside(&self.definition, c, &self.in_file));
        let found = found
            .chain(beside.into_iter().flatten())
            .map(|(path, message)| self.diagnostic(&path, message));
        let mut all: Vec<_> = self.fixed_warnings.iter().cloned().chain(found).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The path of one of this task's diagnostics below the task, such as `objective.on`; empty for
    /// the task as a whole.
    pub fn path_below<'d>(&self, diagnostic: &'d Diagnostic) -> &'d str {
        let below = diagnostic.path.strip_prefix(&self.path).unwrap_or(&diagnostic.path);
        below.strip_prefix('.').unwrap_or(below)
    }
}

/// A path and the paths of everything around it: `a.b[1]`, `a.b`, `a`, and the empty one.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let shorter = |path: &&'_ str| {
        let end = path.rfind(['.', '[']);
        (!path.is_empty()).then(|| path.get(..end.unwrap_or(0)).unwrap_or_default().len())
    };
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let part = rest?;
        rest = shorter(&part).map(|end| &path[..end]);
        Some(part)
    })
}

/// A task file that was read without an error.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFile {
    /// Its tasks, in the order of the file.
    pub tasks: Vec<LocatedTask>,
    /// Warnings about parts outside of the tasks, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a task file as [`parse`] does, and keeps the positions of the tasks and the warnings.
pub fn parse_located(text: &str) -> Result<TaskFile, Vec<Diagnostic>> {
    let root = node::load(text).map_err(|error| vec![error])?;
    let mut diagnostics = Diagnostics::default();
    let root = Located { node: &root, path: String::new() };
    let tasks = read_file(&root, &mut diagnostics);
    refuse_nul(&root, &mut diagnostics);
    let Diagnostics { mut errors, mut warnings, .. } = diagnostics;
    errors.sort();
    warnings.sort();
    match tasks {
        Some(mut tasks) if errors.is_empty() => {
            let warnings = hand_out(warnings, &mut tasks);
            compare(&mut tasks);
            Ok(TaskFile { tasks, warnings })
        }
        _ => Err(errors),
    }
}

/// Gives each task the warnings that follow from the other tasks of its file.
fn compare(tasks: &mut [LocatedTask]) {
    let definitions: Vec<_> = tasks.iter().map(|task| &task.definition).collect();
    let found = uncapped::in_file(&definitions);
    let in_file: Arc<BTreeSet<_>> = Arc::new(definitions.iter().map(|d| d.id.clone()).collect());
    for (task, found) in tasks.iter_mut().zip(found) {
        let found: Vec<_> =
            found.into_iter().map(|(path, message)| task.diagnostic(&path, message)).collect();
        task.fixed_warnings.extend(found);
        task.in_file = Arc::clone(&in_file);
    }
}

/// Gives each task the warnings about its parts. Returns the other warnings.
fn hand_out(warnings: Vec<Diagnostic>, tasks: &mut [LocatedTask]) -> Vec<Diagnostic> {
    let mut by_path: HashMap<String, &mut LocatedTask> =
        tasks.iter_mut().map(|task| (task.path.clone(), task)).collect();
    let mut left = Vec::new();
    for warning in warnings {
        // `tasks[2]` of `tasks[2].objective.on`.
        let end = warning.path.find(']').map_or(0, |end| end + 1);
        match by_path.get_mut(&warning.path[..end]) {
            Some(task) => task.fixed_warnings.push(warning),
            None => left.push(warning),
        }
    }
    left
}

/// Reads a task file (YAML 1.2 or JSON). Every error is reported, not only the first, in the order
/// of the file; a text that is not valid YAML has exactly one.
///
/// Needs nothing but the file: publishing checks whether the tasks that `requires` names exist.
pub fn parse(text: &str) -> Result<Vec<TaskDefinition>, Vec<Diagnostic>> {
    let file = parse_located(text)?;
    Ok(file.tasks.into_iter().map(|task| task.definition).collect())
}

/// Refuses the character NUL, which PostgreSQL can't store in a text. Skips texts that were refused
/// already.
fn refuse_nul(root: &Located<'_>, diagnostics: &mut Diagnostics) {
    root.visit(&mut |place| {
        let Located { node, path } = place;
        let is_refused = |d: &Diagnostic| (d.line, d.column) == (node.line, node.column);
        let has_nul = matches!(&node.value, node::Value::Text(text) if text.contains('\0'))
            || place.keys().any(|key| key.contains('\0'));
        if has_nul && !diagnostics.errors.iter().any(is_refused) {
            diagnostics.add_at(node, path, "must not hold the character NUL (U+0000)");
        }
    });
}

fn read_file(root: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<LocatedTask>> {
    let fields = root.fields(&["tasks", "default_locale", "budgets"], diagnostics)?;
    let locale =
        fields.read_or("default_locale", DEFAULT_LOCALE, |place| text::locale(place, diagnostics));
    let budgets = budgets::Declared::read(&fields, diagnostics);
    let declared = budgets.unwrap_or_default();
    let places = fields.require("tasks", diagnostics)?.items(diagnostics)?;
    // With an invalid default locale, every text would seem to lack it.
    let drafts: Vec<Draft<'_>> =
        places.iter().map(|place| Draft::read(place, locale, &declared, diagnostics)).collect();
    refuse_duplicate_ids(&drafts, diagnostics);
    dependencies::refuse_cycles(&drafts, diagnostics);
    let tasks = places.iter().zip(drafts).map(|(place, draft)| {
        let definition = draft.definition?;
        let (path, places) = (place.path.clone(), draft.places);
        let (fixed_warnings, in_file) = (Vec::new(), Arc::default());
        Some(LocatedTask { definition, path, places, fixed_warnings, in_file })
    });
    let tasks: Vec<_> = tasks.flatten().collect();
    if tasks.len() == places.len() {
        let definitions: Vec<_> = tasks.iter().map(|task: &LocatedTask| &task.definition).collect();
        declared.warn_of_unused(&definitions, diagnostics);
    }
    (tasks.len() == places.len()).then_some(tasks)
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
