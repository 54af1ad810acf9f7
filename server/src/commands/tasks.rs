//! `plaudit tasks`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{CatalogueTask, Status};
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{self, CatalogueStore, PublishError, Unfit};
use plaudit_task_file::{Diagnostic, LocatedTask};
use serde_json::json;

use crate::cli::{FormatKind, TasksCommand};
use crate::config::{Config, ConfigError};
use crate::failure::Failure;
use crate::output::{count, errln, outln, word};
use crate::startup;

/// Reads, publishes and lists tasks.
pub async fn run(
    config: &dyn Fn() -> Result<Config, ConfigError>,
    command: TasksCommand,
) -> Result<ExitCode, Failure> {
    match command {
        TasksCommand::Schema => {
            outln!("{}", plaudit_task_file::SCHEMA.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Validate { files } => Ok(validate(&files)),
        TasksCommand::Publish { files } => match read(&files) {
            Some(tasks) => publish(&config()?, &tasks).await,
            None => Ok(ExitCode::FAILURE),
        },
        TasksCommand::List(format) => list(&config()?, format.format).await,
        TasksCommand::Show { id } => {
            let task: TaskId = id.parse()?;
            with_task(&config()?, &task, |task| {
                outln!("{}", serde_json::to_string_pretty(&task.current().definition)?);
                Ok(())
            })
            .await
        }
        TasksCommand::History { id } => {
            let task: TaskId = id.parse()?;
            with_task(&config()?, &task, |task| {
                for version in &task.versions {
                    outln!("{}  {}", version.version, version.published_at);
                }
                Ok(())
            })
            .await
        }
        TasksCommand::Diff { id, before, after, format } => {
            let task: TaskId = id.parse()?;
            with_task(&config()?, &task, |task| {
                print_diff(task, [before, after], format.format).map_err(Failure::new)
            })
            .await
        }
        TasksCommand::Export { ids } => export(&config()?, &ids).await,
        TasksCommand::Pause { id } => set_status(&config()?, &id, Status::Paused).await,
        TasksCommand::Resume { id } => set_status(&config()?, &id, Status::Active).await,
        TasksCommand::Retire { id } => set_status(&config()?, &id, Status::Retired).await,
    }
}

fn validate(files: &[PathBuf]) -> ExitCode {
    let Some(tasks) = read(files) else { return ExitCode::FAILURE };
    let are = if tasks.len() == 1 { "is" } else { "are" };
    outln!("{} in {} {are} valid", count(tasks.len(), "task"), count(files.len(), "file"));
    ExitCode::SUCCESS
}

/// A task of one of the files.
struct FiledTask<'f> {
    file: &'f Path,
    task: LocatedTask,
}

/// Prints what is wrong, a line for each error.
#[derive(Default)]
struct Told(usize);

impl Told {
    fn error(&mut self, file: &Path, error: &Diagnostic) {
        errln!("{}:{error}", file.display());
        self.0 += 1;
    }

    /// The last line, if there were errors.
    fn sum(&self) {
        if self.0 > 0 {
            errln!("{}; nothing was changed", count(self.0, "error"));
        }
    }
}

/// Reads task files; every error goes to standard error, a line each, then their count. If there is
/// none, the warnings go there.
fn read(files: &[PathBuf]) -> Option<Vec<FiledTask<'_>>> {
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

async fn publish(config: &Config, tasks: &[FiledTask<'_>]) -> Result<ExitCode, Failure> {
    let definitions: Vec<TaskDefinition> =
        tasks.iter().map(|filed| filed.task.definition.clone()).collect();
    let (pool, _) = startup::checked_database(config).await?;
    let all = match catalogue_store::publish(&pool, &definitions, "command line").await {
        Ok(all) => all,
        Err(PublishError::Unfit(reasons)) => {
            let mut told = Told::default();
            reasons.iter().for_each(|reason| tell_unfit(reason, tasks, &mut told));
            told.sum();
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error.into()),
    };
    for published in all {
        let what = if published.changed { "published" } else { "unchanged" };
        outln!("{what}  {}  version {}", published.task, published.version);
    }
    Ok(ExitCode::SUCCESS)
}

/// What only shows beside the catalogue has its place in a file all the same.
fn tell_unfit(unfit: &Unfit, tasks: &[FiledTask<'_>], told: &mut Told) {
    match tasks.iter().find(|filed| filed.task.definition.id == unfit.task) {
        Some(FiledTask { file, task }) => told.error(file, &task.diagnostic(&unfit.field, unfit)),
        None => {
            errln!("{unfit}");
            told.0 += 1;
        }
    }
}

async fn list(config: &Config, format: FormatKind) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let catalogue = CatalogueStore::default().newest(&pool).await?;
    if format == FormatKind::Json {
        let task = |task: &CatalogueTask| {
            let current = task.current();
            json!({"id": task.id, "status": task.status, "version": current.version,
                   "kind": current.definition.kind, "published_at": current.published_at.to_string()})
        };
        outln!("{}", json!({ "tasks": catalogue.tasks().iter().map(task).collect::<Vec<_>>() }));
    } else {
        for task in catalogue.tasks() {
            let definition = &task.current().definition;
            let title = &definition.text_in(None).title;
            outln!(
                "{:<24} {} v{} {}  {title}",
                task.id.as_str(),
                word(&definition.kind),
                task.current().version,
                word(&task.status)
            );
        }
        outln!("{}", count(catalogue.tasks().len(), "task"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn with_task(
    config: &Config,
    id: &TaskId,
    show: impl Fn(&CatalogueTask) -> Result<(), Failure>,
) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let catalogue = CatalogueStore::default().newest(&pool).await?;
    let missing = || catalogue_store::PublishError::UnknownTask(id.clone());
    show(catalogue.task(id).ok_or_else(missing)?)?;
    Ok(ExitCode::SUCCESS)
}

fn print_diff(task: &CatalogueTask, versions: [u32; 2], format: FormatKind) -> Result<(), String> {
    let version = |number| {
        let last = task.current().version;
        let missing = || format!("task {} has no version {number}, only 1 to {last}", task.id);
        task.version(number).map(|version| &version.definition).ok_or_else(missing)
    };
    let [before, after] = versions;
    let changes = plaudit_task_file::diff(version(before)?, version(after)?);
    if format == FormatKind::Json {
        outln!(
            "{}",
            json!({ "task": task.id, "before": before, "after": after, "changes": changes })
        );
        return Ok(());
    }
    let shown = |value: &Option<serde_json::Value>| {
        value.as_ref().map_or_else(|| "(absent)".to_owned(), ToString::to_string)
    };
    for change in &changes {
        outln!("{}: {} -> {}", change.path, shown(&change.before), shown(&change.after));
    }
    outln!("{}", count(changes.len(), "difference"));
    Ok(())
}

async fn export(config: &Config, ids: &[String]) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let catalogue = CatalogueStore::default().newest(&pool).await?;
    let mut definitions = Vec::new();
    if ids.is_empty() {
        let offered = catalogue.tasks().iter().filter(|task| task.status != Status::Retired);
        definitions.extend(offered.map(|task| task.current().definition.clone()));
    }
    for id in ids {
        let id: TaskId = id.parse()?;
        let task = catalogue.task(&id).ok_or(PublishError::UnknownTask(id))?;
        definitions.push(task.current().definition.clone());
    }
    outln!("{}", plaudit_task_file::to_yaml(&definitions).trim_end());
    Ok(ExitCode::SUCCESS)
}

async fn set_status(config: &Config, id: &str, status: Status) -> Result<ExitCode, Failure> {
    let id: TaskId = id.parse()?;
    let (pool, _) = startup::checked_database(config).await?;
    catalogue_store::set_status(&pool, &id, status).await?;
    outln!("{id} is {}", word(&status));
    Ok(ExitCode::SUCCESS)
}
