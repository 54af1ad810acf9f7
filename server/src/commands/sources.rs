//! `plaudit sources`.

use std::process::ExitCode;

use plaudit_actions::sources::{self, Mapped, TrialOutcome};

use crate::cli::SourcesCommand;
use crate::failure::Failure;
use crate::output::{count, errln, outln};

/// Checks source files, or shows what one makes of a record.
pub fn run(command: &SourcesCommand) -> Result<ExitCode, Failure> {
    match command {
        SourcesCommand::Check { files } => {
            let errors = sources::check(files);
            errors.iter().for_each(|error| errln!("{error}"));
            if errors.is_empty() {
                let are = if files.len() == 1 { "is" } else { "are" };
                outln!("{} {are} valid", count(files.len(), "source file"));
                return Ok(ExitCode::SUCCESS);
            }
            errln!("{}", count(errors.len(), "error"));
            Ok(ExitCode::FAILURE)
        }
        SourcesCommand::Try { file, record } => {
            let text = std::fs::read_to_string(record)
                .map_err(|error| Failure::new(format!("{}: {error}", record.display())))?;
            let tried = sources::try_record(file, &text)?;
            tried.iter().for_each(|tried| print(&tried.entry, &tried.outcome));
            let parks = tried.iter().any(|tried| tried.outcome.parks());
            Ok(if parks { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    }
}

fn print(entry: &str, outcome: &TrialOutcome) {
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
