//! `plaudit sources`.

use std::process::ExitCode;

use plaudit_ingest::sources::{self, Reading, TrialOutcome};

use crate::cli::SourcesCommand;
use crate::failure::Failure;

/// Checks source files, or shows what one makes of a record.
pub fn run(command: &SourcesCommand) -> Result<ExitCode, Failure> {
    match command {
        SourcesCommand::Check { files } => {
            let faults = sources::check(files);
            faults.iter().for_each(|fault| eprintln!("{fault}"));
            if faults.is_empty() {
                println!("{} source files are valid", files.len());
                return Ok(ExitCode::SUCCESS);
            }
            eprintln!("{} errors", faults.len());
            Ok(ExitCode::FAILURE)
        }
        SourcesCommand::Try { file, record } => {
            let text = std::fs::read_to_string(record)
                .map_err(|error| Failure::new(format!("{}: {error}", record.display())))?;
            for tried in sources::try_record(file, &text)? {
                match tried.outcome {
                    TrialOutcome::OtherTopic(topic) => {
                        println!("{}: speaks of topic {topic}", tried.entry);
                    }
                    TrialOutcome::DoesNotApply => println!("{}: `when` is false", tried.entry),
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
        Reading::Action(action) => println!(
            "{entry}: {} of user {} at {}, id {} from {}, data {}",
            action.kind,
            action.user,
            action.occurred_at,
            action.id,
            action.source,
            serde_json::Value::Object(action.data.clone())
        ),
        Reading::SetAside(aside) => println!("{entry}: set aside: {}", aside.reason),
    }
}
