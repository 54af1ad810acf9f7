//! Task files: reading them, and naming what is wrong with its place.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_event_store::catalogue_store::Unfit;
use plaudit_task_file::{Diagnostic, LocatedTask};

use crate::output::{count, errln, outln};

/// Checks task files.
pub fn validate(files: &[PathBuf]) -> ExitCode {
    let Some(tasks) = read(files) else { return ExitCode::FAILURE };
    let are = if tasks.len() == 1 { "is" } else { "are" };
    outln!("{} in {} {are} valid", count(tasks.len(), "task"), count(files.len(), "file"));
    ExitCode::SUCCESS
}

/// A task of one of the files.
pub struct FiledTask<'f> {
    /// The file.
    pub file: &'f Path,
    /// The task, with its place in the file.
    pub task: LocatedTask,
}

/// Prints what is wrong, a line for each error.
#[derive(Default)]
pub struct Told(usize);

impl Told {
    /// One error that has no place in a file.
    pub fn plain(&mut self, error: &str) {
        errln!("{error}");
        self.0 += 1;
    }

    /// One error with its place.
    pub fn error(&mut self, file: &Path, error: &Diagnostic) {
        errln!("{}:{error}", file.display());
        self.0 += 1;
    }

    /// The last line, if there were errors.
    pub fn sum(&self) {
        if self.0 > 0 {
            errln!("{}; nothing was changed", count(self.0, "error"));
        }
    }
}

/// Reads task files; every error goes to standard error, a line each, then their count. If there is
/// none, the warnings go there.
pub fn read(files: &[PathBuf]) -> Option<Vec<FiledTask<'_>>> {
    let mut tasks: Vec<FiledTask<'_>> = Vec::new();
    let mut warnings = Vec::new();
    let mut told = Told::default();
    for file in files {
        match std::fs::read_to_string(file) {
            Err(error) => {
                errln!("{}:1:1: file: {error}", file.display());
                told.0 += 1;
            }
            Ok(text) => match plaudit_task_file::parse_located(&text) {
                Err(found) => found.iter().for_each(|error| told.error(file, error)),
                Ok(read) => {
                    let in_time = |task: &LocatedTask| task.warnings(jiff::Timestamp::now(), None);
                    warnings.extend(read.warnings.into_iter().map(|warning| (file, warning)));
                    let late = read.tasks.iter().flat_map(in_time);
                    warnings.extend(late.map(|warning| (file, warning)));
                    tasks.extend(read.tasks.into_iter().map(|task| FiledTask { file, task }));
                }
            },
        }
    }
    refuse_duplicate_ids(&tasks, &mut told);
    // Errors come first: nothing is looked at more closely while a file is refused.
    if told.0 == 0 {
        for (file, warning) in warnings {
            errln!("{}:{warning}", file.display());
        }
    }
    told.sum();
    (told.0 == 0).then_some(tasks)
}

/// Within a file they were refused when it was read.
fn refuse_duplicate_ids(tasks: &[FiledTask<'_>], told: &mut Told) {
    let mut first = HashMap::new();
    for FiledTask { file, task } in tasks {
        let id = &task.definition.id;
        let earlier: &mut &Path = first.entry(id).or_insert(file);
        if !std::ptr::eq(*earlier, *file) {
            let message = format!("{id} is already the id of a task in {}", earlier.display());
            told.error(file, &task.diagnostic("id", message));
        }
    }
}

/// The definitions of all files.
pub fn definitions_of(tasks: &[FiledTask<'_>]) -> Vec<TaskDefinition> {
    tasks.iter().map(|filed| filed.task.definition.clone()).collect()
}

/// What only shows beside the catalogue has its place in a file all the same.
pub fn tell_unfit(unfit: &Unfit, tasks: &[FiledTask<'_>], told: &mut Told) {
    match tasks.iter().find(|filed| filed.task.definition.id == unfit.task) {
        Some(FiledTask { file, task }) => told.error(file, &task.diagnostic(&unfit.field, unfit)),
        None => told.plain(&unfit.to_string()),
    }
}
