//! `plaudit sources`.

use std::process::ExitCode;

use plaudit_ingest::sources::{self, Reading, TrialOutcome};

use crate::cli::SourcesCommand;
use crate::failure::Failure;
use crate::output::{count, errln, outln};

/// Checks source files, or shows what one makes of a record.
pub fn run(command: &SourcesCommand) -> Result<ExitCode, Failure> {
    match command {
        SourcesCommand::Check { files } => {
            let faults = sources::check(files);
            faults.iter().for_each(|fault| errln!("{fault}"));
            if faults.is_empty() {
                let are = if files.len() == 1 { "is" } else { "are" };
                outln!("{} {are} valid", count(files.len(), "source file"));
                return Ok(ExitCode::SUCCESS);
            }
            errln!("{}", count(faults.len(), "error"));
            Ok(ExitCode::FAILURE)
        }
        SourcesCommand::Try { file, record } => {
            let text = std::fs::read_to_string(record)
                .map_err(|error| Failure::new(format!("{}: {error}", record.display())))?;
            for tried in sources::try_record(file, &text)? {
                match tried.outcome {
                    TrialOutcome::OtherTopic(topic) => {
                        outln!("{}: speaks of topic {topic}", tried.entry);
                    }
                    TrialOutcome::DoesNotApply => outln!("{}: `when` is false", tried.entry),
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
        Reading::Action(action) => outln!(
            "{entry}: {} of user {} at {}, id {} from {}, data {}",
            action.kind,
            action.user,
            action.occurred_at,
            action.id,
            action.source,
            serde_json::Value::Object(action.data.clone())
        ),
        Reading::SetAside(aside) => outln!("{entry}: set aside: {}", aside.reason),
    }
}
