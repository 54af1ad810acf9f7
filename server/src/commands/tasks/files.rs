//! Reads task files, and prints their errors with their places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plaudit_api::PlannedWarning;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::CatalogueConflict;
use plaudit_task_file::{Diagnostic, LocatedTask};

use crate::output::{count, errln, outln};

/// Checks task files. Warnings go to standard output: the files are valid.
pub fn validate(files: &[PathBuf]) -> ExitCode {
    let Some(read) = read(files) else { return ExitCode::FAILURE };
    read.print_warnings();
    let tasks = read.tasks.len();
    let are = if tasks == 1 { "is" } else { "are" };
    outln!("{} in {} {are} valid", count(tasks, "task"), count(files.len(), "file"));
    ExitCode::SUCCESS
}

/// Task files without an error.
pub struct ReadFiles<'f> {
    /// Their tasks, in the order of the files.
    pub tasks: Vec<FiledTask<'f>>,
    /// Warnings about parts of the files outside of their tasks.
    beside_tasks: Vec<(&'f Path, Diagnostic)>,
}

impl ReadFiles<'_> {
    /// Prints the warnings about the files, without those that need the catalogue.
    pub fn print_warnings(&self) {
        self.print_beside_tasks();
        let drafts: Vec<_> = self.tasks.iter().map(|filed| &filed.task.definition).collect();
        for FiledTask { file, task } in &self.tasks {
            let mut found = task.warnings(jiff::Timestamp::now(), None);
            found.extend(task.warnings_of_counted(&drafts, None));
            found.sort();
            found.iter().for_each(|warning| print_warning(file, warning));
        }
    }

    /// Prints the warnings of a plan or a publication, with their places in the files.
    pub fn print_warnings_of<'p>(
        &self,
        warned: impl Iterator<Item = (&'p TaskId, &'p [PlannedWarning])>,
    ) {
        self.print_beside_tasks();
        for (id, warnings) in warned {
            let filed = self.tasks.iter().find(|filed| filed.task.definition.id == *id);
            let Some(FiledTask { file, task }) = filed else { continue };
            for PlannedWarning { path, message } in warnings {
                print_warning(file, &task.diagnostic(path, message));
            }
        }
    }

    fn print_beside_tasks(&self) {
        self.beside_tasks.iter().for_each(|(file, warning)| print_warning(file, warning));
    }
}

/// Prints a warning to standard output: it is part of the result, and standard error is for errors.
fn print_warning(file: &Path, warning: &Diagnostic) {
    outln!("warning: {}:{warning}", file.display());
}

/// A task of one of the files.
pub struct FiledTask<'f> {
    /// The file.
    pub file: &'f Path,
    /// The task, with its place in the file.
    pub task: LocatedTask,
}

/// Prints errors, a line each, and counts them.
#[derive(Default)]
pub struct ErrorCount(usize);

impl ErrorCount {
    /// Prints an error without a place in a file.
    pub fn plain(&mut self, error: &str) {
        errln!("{error}");
        self.0 += 1;
    }

    /// Prints an error with its place.
    pub fn error(&mut self, file: &Path, error: &Diagnostic) {
        errln!("{}:{error}", file.display());
        self.0 += 1;
    }

    /// Prints the last line, with the number of errors, if there were any.
    pub fn sum(&self) {
        if self.0 > 0 {
            errln!("{}; nothing was changed", count(self.0, "error"));
        }
    }
}

/// Reads task files. Prints every error on standard error, a line each, then their number.
pub fn read(files: &[PathBuf]) -> Option<ReadFiles<'_>> {
    let mut all = ReadFiles { tasks: Vec::new(), beside_tasks: Vec::new() };
    let mut printed = ErrorCount::default();
    for file in files {
        match std::fs::read_to_string(file) {
            Err(error) => {
                errln!("{}:1:1: file: {error}", file.display());
                printed.0 += 1;
            }
            Ok(text) => match plaudit_task_file::parse_located(&text) {
                Err(found) => found.iter().for_each(|error| printed.error(file, error)),
                Ok(read) => {
                    let beside = read.warnings.into_iter().map(|warning| (file.as_path(), warning));
                    all.beside_tasks.extend(beside);
                    all.tasks.extend(read.tasks.into_iter().map(|task| FiledTask { file, task }));
                }
            },
        }
    }
    refuse_duplicate_ids(&all.tasks, &mut printed);
    printed.sum();
    (printed.0 == 0).then_some(all)
}

/// Refuses ids that several files use. Duplicates within a file were refused when it was read.
fn refuse_duplicate_ids(tasks: &[FiledTask<'_>], printed: &mut ErrorCount) {
    let mut first = HashMap::new();
    for FiledTask { file, task } in tasks {
        let id = &task.definition.id;
        let earlier: &mut &Path = first.entry(id).or_insert(file);
        if !std::ptr::eq(*earlier, *file) {
            let message = format!("{id} is already the id of a task in {}", earlier.display());
            printed.error(file, &task.diagnostic("id", message));
        }
    }
}

/// The definitions of all files.
pub fn definitions_of(tasks: &[FiledTask<'_>]) -> Vec<TaskDefinition> {
    tasks.iter().map(|filed| filed.task.definition.clone()).collect()
}

/// Prints a conflict with the catalogue, with its place in the files if it has one.
pub fn print_conflict(
    conflict: &CatalogueConflict,
    tasks: &[FiledTask<'_>],
    printed: &mut ErrorCount,
) {
    match tasks.iter().find(|filed| filed.task.definition.id == conflict.task) {
        Some(FiledTask { file, task }) => {
            printed.error(file, &task.diagnostic(&conflict.field, conflict));
        }
        None => printed.plain(&conflict.to_string()),
    }
}
