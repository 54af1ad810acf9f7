//! `plaudit tasks backfill`, and the part of a plan about backfills.

use std::process::ExitCode;

use plaudit_api::PlannedBackfill;
use plaudit_domain::ids::TaskId;
use plaudit_event_store::backfills::changes::BackfillChange;
use plaudit_event_store::backfills::{BackfillPartition, BackfillStatus};
use serde_json::json;

use super::checked;
use super::source::CatalogueSource;
use crate::cli::{BackfillCommand, FormatKind, Reason};
use crate::failure::Failure;
use crate::output::{count, outln, word};

/// Shows and changes backfills.
pub async fn run(source: &CatalogueSource, command: BackfillCommand) -> Result<ExitCode, Failure> {
    match command {
        BackfillCommand::Status { id, format } => status(source, id, format.format).await,
        BackfillCommand::Pause { id, why } => {
            change(source, &id, BackfillChange::Pause, &why).await
        }
        BackfillCommand::Resume { id, why } => {
            change(source, &id, BackfillChange::Resume, &why).await
        }
        BackfillCommand::Cancel { id, why } => {
            change(source, &id, BackfillChange::Cancel, &why).await
        }
        BackfillCommand::Release { id, why } => {
            change(source, &id, BackfillChange::Release, &why).await
        }
    }
}

async fn status(
    source: &CatalogueSource,
    id: Option<String>,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let Some(id) = id else {
        let all = source.backfills().await?;
        if format == FormatKind::Json {
            outln!("{}", json!({ "backfills": all }));
        } else {
            all.iter().for_each(|backfill| outln!("{}", line(backfill)));
            outln!("{}", count(all.len(), "backfill"));
        }
        return Ok(ExitCode::SUCCESS);
    };
    let found = source.backfill(&id.parse()?).await?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&found)?);
    } else {
        print(&found);
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(
    source: &CatalogueSource,
    id: &str,
    requested: BackfillChange,
    why: &Reason,
) -> Result<ExitCode, Failure> {
    let id: TaskId = id.parse()?;
    let changed = source.change_backfill(&id, requested, checked(why)?).await?;
    outln!("{}", line(&changed));
    Ok(ExitCode::SUCCESS)
}

fn line(backfill: &BackfillStatus) -> String {
    let read = match backfill.records {
        Some(records) => format!("{} of {} read", backfill.records_read, count(records, "record")),
        None => "not planned yet".to_owned(),
    };
    format!("{:<24} {}  {read}", backfill.task.as_str(), backfill.state)
}

fn print(backfill: &BackfillStatus) {
    outln!("{}", line(backfill));
    outln!("    actions since {}; rewards: {}", backfill.from, word(&backfill.rewards));
    let moved = count(backfill.moved, "past action");
    outln!("    {moved} moved the task, {} did not", backfill.unmoved);
    if backfill.reversed > 0 {
        outln!("    {} not counted: taken back", count(backfill.reversed, "past action"));
    }
    if backfill.failed > 0 {
        let failed = count(backfill.failed, "past action");
        outln!("    {failed} could not be decided; see the server's log");
    }
    for p in &backfill.partitions {
        let BackfillPartition { topic, partition, next_offset, end_offset, .. } = p;
        outln!("    {topic}/{partition}: next {next_offset}, end {end_offset}");
        if let Some(kept_from) = p.kept_from {
            outln!(
                "        Kafka had nothing older than {kept_from}; earlier actions are not counted"
            );
        }
        if p.lost > 0 {
            let lost = count(p.lost, "record");
            outln!(
                "        {lost} can't be read: removed from Kafka, or of a topic that was created again or is no longer read"
            );
        }
    }
    if let Some(problem) = &backfill.problem {
        outln!("    no progress since {}: {problem}", backfill.progressed_at);
    }
    match (backfill.released_at, backfill.release_requested_at) {
        (Some(at), _) => {
            let users = count(backfill.released_users, "user");
            outln!("    released to {users}, {at}");
        }
        (None, Some(at)) => outln!("    release in progress since {at}"),
        (None, None) => {}
    }
}

/// Prints the part of a plan about past actions.
pub fn print_plan(planned: &PlannedBackfill) {
    let PlannedBackfill { from, rewards, partitions, unknown } = planned;
    let Some(partitions) = partitions else {
        let why = unknown.as_deref().unwrap_or("it was not asked");
        outln!("    backfill since {from}: can't find out what Kafka still has: {why}");
        return;
    };
    let records: i64 = partitions.iter().map(|p| p.records).sum();
    let (records, of) = (count(records, "record"), count(partitions.len(), "partition"));
    outln!(
        "    backfill since {from}: reads up to {records} in {of} again; rewards: {}",
        word(rewards)
    );
    for p in partitions {
        if let Some(kept_from) = p.kept_from {
            outln!(
                "    backfill: Kafka has nothing of {}/{} older than {kept_from}; earlier actions are not counted",
                p.topic,
                p.partition
            );
        }
    }
    outln!("    backfill: actions that came over HTTP are not in Kafka, and not counted");
}
