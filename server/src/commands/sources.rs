//! `plaudit sources`.

mod last;
mod published;
mod versions;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plaudit_actions::record::OwnedRecord;
use plaudit_actions::sources::{self, Mapped, Sources, TrialOutcome, TriedEntry};

use crate::cli::{SourcesCommand, Tried};
use crate::config::{Config, ConfigError};
use crate::failure::Failure;
use crate::output::{count, errln, outln};
use crate::source_files;

/// Runs `plaudit sources`.
pub async fn run(
    config: &dyn Fn() -> Result<Config, ConfigError>,
    command: SourcesCommand,
) -> Result<ExitCode, Failure> {
    match command {
        SourcesCommand::Check { files } => Ok(check(&files)),
        SourcesCommand::Try { file, tried: Tried { record: Some(record), .. } } => {
            let file = file.ok_or_else(|| Failure::new("`--record` requires a source file"))?;
            try_file(&sources_of(&file, config)?, &record)
        }
        SourcesCommand::Try { file, tried: Tried { topic, last, .. } } => {
            let topic = topic.unwrap_or_default();
            last::run(&config()?, file.as_deref(), &topic, last.into()).await
        }
        SourcesCommand::Publish { files, why } => {
            published::publish(&config()?, &files, &why).await
        }
        SourcesCommand::List(format) => published::list(&config()?, format.format).await,
        SourcesCommand::History { name, format } => {
            published::history(&config()?, &name, format.format).await
        }
        SourcesCommand::Export { name, number } => {
            published::export(&config()?, &name, number).await
        }
        SourcesCommand::Diff { name, before, after, format } => {
            versions::diff(&config()?, &name, [before, after], format.format).await
        }
        SourcesCommand::Rollback { name, to, why } => {
            versions::roll_back(&config()?, &name, to, &why).await
        }
        SourcesCommand::Withdraw { name, why } => {
            published::withdraw(&config()?, &name, &why).await
        }
    }
}

fn check(files: &[PathBuf]) -> ExitCode {
    let errors = sources::check(files);
    errors.iter().for_each(|error| errln!("{error}"));
    if errors.is_empty() {
        let are = if files.len() == 1 { "is" } else { "are" };
        outln!("{} {are} valid", count(files.len(), "source file"));
        return ExitCode::SUCCESS;
    }
    errln!("{}", count(errors.len(), "error"));
    ExitCode::FAILURE
}

/// Compiles one file. The configuration is read only if the file needs a schema registry.
fn sources_of(
    file: &Path,
    config: &dyn Fn() -> Result<Config, ConfigError>,
) -> Result<Sources, Failure> {
    let sources = Sources::from_files(&[file.to_owned()]).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::new(lines.join("\n"))
    })?;
    match sources.needs_registry() {
        None => Ok(sources),
        Some(_) => Ok(sources.with_decoder(source_files::decoder(&config()?)?)),
    }
}

fn try_file(sources: &Sources, record: &Path) -> Result<ExitCode, Failure> {
    let text = std::fs::read_to_string(record)
        .map_err(|error| Failure::new(format!("{}: {error}", record.display())))?;
    let record =
        OwnedRecord::from_json(&text).map_err(|why| Failure::new(format!("the record: {why}")))?;
    // Decoding may wait for the schema registry.
    let tried = tokio::task::block_in_place(|| sources.try_record(&record.as_raw()))?;
    tried.iter().for_each(print);
    let parks = tried.iter().any(|tried| tried.outcome.parks());
    Ok(if parks { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(TriedEntry { entry, outcome }: &TriedEntry) {
    match outcome {
        TrialOutcome::OtherTopic(topic) => outln!("{entry}: is for the topic {topic}"),
        TrialOutcome::DoesNotApply => outln!("{entry}: `when` is false"),
        TrialOutcome::Mapped(mapped) if mapped.is_empty() => outln!("{entry}: names no user"),
        TrialOutcome::Mapped(mapped) => mapped.iter().for_each(|mapped| print_one(entry, mapped)),
    }
}

fn print_one(entry: &str, mapped: &Mapped) {
    match mapped {
        Mapped::Action(action) => outln!(
            "{entry}: {} of user {} at {}, id {} from {}, data {}",
            action.kind,
            action.user,
            action.occurred_at,
            action.id,
            action.source,
            serde_json::Value::Object(action.data.clone())
        ),
        Mapped::Park(park) => outln!("{entry}: parked: {}", park.reason),
    }
}
