//! `plaudit sources`.

use std::process::ExitCode;

use plaudit_ingest::sources::{self, Reading, TrialOutcome};

use crate::cli::SourcesCommand;
use crate::failure::Failure;
use crate::output::{count, say, tell};

/// Checks source files, or shows what one makes of a record.
pub fn run(command: &SourcesCommand) -> Result<ExitCode, Failure> {
    match command {
        SourcesCommand::Check { files } => {
            let faults = sources::check(files);
            faults.iter().for_each(|fault| tell!("{fault}"));
            if faults.is_empty() {
                let are = if files.len() == 1 { "is" } else { "are" };
                say!("{} {are} valid", count(files.len(), "source file"));
                return Ok(ExitCode::SUCCESS);
            }
            tell!("{}", count(faults.len(), "error"));
            Ok(ExitCode::FAILURE)
        }
        SourcesCommand::Try { file, record } => {
            let text = std::fs::read_to_string(record)
                .map_err(|error| Failure::new(format!("{}: {error}", record.display())))?;
            for tried in sources::try_record(file, &text)? {
                match tried.outcome {
                    TrialOutcome::OtherTopic(topic) => {
                        say!("{}: speaks of topic {topic}", tried.entry);
                    }
                    TrialOutcome::DoesNotApply => say!("{}: `when` is false", tried.entry),
                    TrialOutcome::Readings(readings) => {
                        readings.iter().for_each(|r| print(&tried.entry, r));
                    }
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(entry: &str, reading: &Reading) {
    match reading {
        Reading::Action(action) => say!(
            "{entry}: {} of user {} at {}, id {} from {}, data {}",
            action.kind,
            action.user,
            action.occurred_at,
            action.id,
            action.source,
            serde_json::Value::Object(action.data.clone())
        ),
        Reading::SetAside(aside) => say!("{entry}: set aside: {}", aside.reason),
    }
}
