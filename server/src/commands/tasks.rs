//! `plaudit tasks`.

use std::path::PathBuf;
use std::process::ExitCode;

use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::catalogue::{CatalogueTask, Status, parse};
use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{self, CatalogueStore};
use serde_json::json;

use crate::cli::{FormatKind, TasksCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::startup;

/// Reads, publishes and lists tasks.
pub async fn run(config: &Config, command: TasksCommand) -> Result<ExitCode, Failure> {
    match command {
        TasksCommand::Schema => {
            print!("{}", parse::SCHEMA);
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Validate { files } => Ok(read(&files).map_or(ExitCode::FAILURE, |tasks| {
            println!("{} tasks in {} files are valid", tasks.len(), files.len());
            ExitCode::SUCCESS
        })),
        TasksCommand::Publish { files } => match read(&files) {
            Some(tasks) => publish(config, &tasks).await,
            None => Ok(ExitCode::FAILURE),
        },
        TasksCommand::List(format) => list(config, format.format).await,
        TasksCommand::Show { id } => {
            let task: TaskId = id.parse()?;
            with_task(config, &task, |task| {
                println!("{}", serde_json::to_string_pretty(&task.current().definition)?);
                Ok(())
            })
            .await
        }
        TasksCommand::History { id } => {
            let task: TaskId = id.parse()?;
            with_task(config, &task, |task| {
                for version in &task.versions {
                    println!("{}  {}", version.version, version.published_at);
                }
                Ok(())
            })
            .await
        }
        TasksCommand::Pause { id } => set_status(config, &id, Status::Paused).await,
        TasksCommand::Resume { id } => set_status(config, &id, Status::Active).await,
        TasksCommand::Retire { id } => set_status(config, &id, Status::Retired).await,
    }
}

/// Reads task files; every fault goes to standard error, a line each, then their count.
fn read(files: &[PathBuf]) -> Option<Vec<TaskDefinition>> {
    let mut tasks: Vec<TaskDefinition> = Vec::new();
    let mut faults = 0;
    for file in files {
        let name = file.display();
        match std::fs::read_to_string(file) {
            Err(error) => {
                eprintln!("{name}:1:1: : {error}");
                faults += 1;
            }
            Ok(text) => match parse::parse(&text) {
                Err(found) => {
                    found.iter().for_each(|fault| eprintln!("{name}:{fault}"));
                    faults += found.len();
                }
                Ok(read) => {
                    for task in read {
                        if tasks.iter().any(|known| known.id == task.id) {
                            eprintln!(
                                "{name}:1:1: tasks: {} stands in an earlier file too",
                                task.id
                            );
                            faults += 1;
                        }
                        tasks.push(task);
                    }
                }
            },
        }
    }
    if faults > 0 {
        eprintln!("{faults} errors; nothing was changed");
    }
    (faults == 0).then_some(tasks)
}

async fn publish(config: &Config, tasks: &[TaskDefinition]) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    for published in catalogue_store::publish(&pool, tasks, "command line").await? {
        let what = if published.changed { "published" } else { "unchanged" };
        println!("{what}  {}  version {}", published.task, published.version);
    }
    Ok(ExitCode::SUCCESS)
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
        println!("{}", json!({ "tasks": catalogue.tasks().iter().map(task).collect::<Vec<_>>() }));
    } else {
        for task in catalogue.tasks() {
            let definition = &task.current().definition;
            let title = &definition.text_in(None).title;
            println!(
                "{:<24} {:?} v{} {:?}  {title}",
                task.id.as_str(),
                definition.kind,
                task.current().version,
                task.status
            );
        }
        println!("{} tasks", catalogue.tasks().len());
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

async fn set_status(config: &Config, id: &str, status: Status) -> Result<ExitCode, Failure> {
    let id: TaskId = id.parse()?;
    let (pool, _) = startup::checked_database(config).await?;
    catalogue_store::set_status(&pool, &id, status).await?;
    println!("{id} is {status:?}");
    Ok(ExitCode::SUCCESS)
}
