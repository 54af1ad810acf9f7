//! Tries source files on the last records of a topic: `plaudit sources try --topic`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use jiff::SignedDuration;
use plaudit_actions::formats::Unavailable;
use plaudit_actions::record::OwnedRecord;
use plaudit_actions::sources::{Mapped, Sources, TrialOutcome, TriedEntry};
use plaudit_ingest::{last_records, too_early};

use super::{print, sources_of};
use crate::commands::serve;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, outln};
use crate::source_files::SourceFiles;
use crate::startup;

/// Shows the outcome of each record by this file, or else by the current files. Exit code 1 if a
/// record would be parked.
pub async fn run(
    config: &Config,
    file: Option<&Path>,
    topic: &str,
    last: usize,
) -> Result<ExitCode, Failure> {
    let sources = Arc::new(match file {
        Some(file) => sources_of(file, &|| Ok(config.clone()))?,
        None => in_force(config).await?,
    });
    let records = last_records(&serve::ingest_options(config)?, topic, last).await?;
    if records.is_empty() {
        outln!("{topic} has no records");
    }
    let tolerance = SignedDuration::try_from(config.duration("future_tolerance"))?;
    let mut parked = 0;
    for record in &records {
        let raw = record.as_raw();
        let at = raw.timestamp.map_or(String::new(), |at| format!(" of {at}"));
        outln!("{topic}/{}@{}{at}", raw.partition, raw.offset);
        let tried = outcomes(&sources, record, tolerance).await?;
        if tried.is_empty() {
            outln!("  no action: the `when` of every entry is false");
        }
        for tried in &tried {
            let entry = format!("  {}", tried.entry);
            print(&TriedEntry { entry, outcome: tried.outcome.clone() });
        }
        parked += usize::from(tried.iter().any(|tried| tried.outcome.parks()));
    }
    outln!("{}, {parked} would be parked", count(records.len(), "record"));
    Ok(if parked > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The current mappings; those of the folder alone if no database is configured.
async fn in_force(config: &Config) -> Result<Sources, Failure> {
    let files = SourceFiles::read(config)?;
    if config.get("database.url").is_none() {
        return files.compile(&[]);
    }
    let (pool, _) = startup::checked_database(config).await?;
    startup::answer(files.in_force(&pool)).await
}

/// The outcomes of a record by the entries of its topic whose `when` is true.
async fn outcomes(
    sources: &Arc<Sources>,
    record: &OwnedRecord,
    tolerance: SignedDuration,
) -> Result<Vec<TriedEntry>, Failure> {
    let (sources, record) = (Arc::clone(sources), record.clone());
    let tried = tokio::task::spawn_blocking(move || try_one(&sources, &record, tolerance));
    Ok(tried.await.map_err(|_| Failure::new("mapping a record has panicked"))??)
}

fn try_one(
    sources: &Sources,
    record: &OwnedRecord,
    tolerance: SignedDuration,
) -> Result<Vec<TriedEntry>, Unavailable> {
    let record = record.as_raw();
    let mut tried = if sources.maps(record.topic) {
        sources.try_record(&record)?
    } else {
        let outcome = TrialOutcome::Mapped(sources.map(&record)?);
        vec![TriedEntry { entry: "CloudEvent".to_owned(), outcome }]
    };
    tried.retain(|tried| matches!(tried.outcome, TrialOutcome::Mapped(_)));
    for tried in &mut tried {
        let TrialOutcome::Mapped(mapped) = &mut tried.outcome else { continue };
        for mapped in mapped {
            if let Mapped::Action(action) = mapped
                && let Some(why) = too_early(action, record.timestamp, tolerance)
            {
                *mapped = Mapped::Park(why);
            }
        }
    }
    Ok(tried)
}
