//! `plaudit parked`.

use std::process::ExitCode;
use std::sync::Arc;

use plaudit_domain::lane::LaneCount;
use plaudit_event_store::CommandQueue;
use plaudit_event_store::parked::{self, Parked, Resolved};
use plaudit_release::{Operator, ReleaseReport, Resolver};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::cli::{FormatKind, ParkedCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, errln, outln};
use crate::source_files::SourceFiles;
use crate::{operator, startup};

/// Lists, shows, releases or discards parked records.
pub async fn run(config: &Config, command: ParkedCommand) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    match command {
        ParkedCommand::List { after, limit, format } => {
            if let Some(after) = after
                && !startup::answer(parked::is_known(&pool, after)).await?
            {
                let what = format!("unknown parked record in --after: {after}");
                return Err(Failure::new(what));
            }
            let page = startup::answer(parked::page(&pool, after, i64::from(limit))).await?;
            if format.format == FormatKind::Json {
                outln!("{}", serde_json::to_string(&page)?);
                return Ok(ExitCode::SUCCESS);
            }
            let (list, next) = (page.parked, page.next);
            for record in &list {
                outln!("{}  {}  {}  {}", record.id, record.at, place(record), record.reason);
            }
            match next {
                Some(next) => outln!("{} shown; next page: --after {next}", list.len()),
                None => outln!("{} parked", list.len()),
            }
        }
        ParkedCommand::Show { id, format } => {
            let found = startup::answer(parked::find(&pool, id)).await?;
            let record = found.ok_or_else(|| {
                Failure::new(format!(
                    "unknown parked record {id}; `plaudit parked list` lists them"
                ))
            })?;
            if format.format == FormatKind::Json {
                outln!("{}", serde_json::to_string(&record)?);
                return Ok(ExitCode::SUCCESS);
            }
            outln!("id          {}", record.id);
            outln!("parked at   {}", record.at);
            outln!("from        {}", place(&record));
            outln!("user        {}", record.user.as_deref().unwrap_or("none named"));
            outln!("reason      {}", record.reason);
            outln!("repairable  {}", record.repairable);
            outln!("headers     {}", record.headers);
            if let Some(resolved) = &record.resolved {
                let why = resolved.reason.as_deref().map_or(String::new(), |r| format!(": {r}"));
                let Resolved { resolution, by, at, .. } = resolved;
                outln!("{resolution:<10}  by {by} at {at}{why}");
            }
            outln!("bytes       {}", shown(&record.bytes));
        }
        ParkedCommand::Release { id, reason, format } => {
            let reason = reason.as_deref().map(Operator::checked_reason).transpose()?;
            let resolver = resolver(config, &pool, lane_count).await?;
            let reason = Some(operator::or_none_given(reason));
            let operator = Operator { by: operator::name(), reason };
            let released = resolver.release(id, &operator).await?;
            return report(&ReleaseReport::released(released), format.format);
        }
        ParkedCommand::Discard { id, reason, format } => {
            let reason = Operator::checked_reason(&reason)?;
            let resolver = resolver(config, &pool, lane_count).await?;
            let discarded = resolver.discard(id, &operator::name(), reason).await?;
            return report(&ReleaseReport::discarded(discarded), format.format);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes a resolver with an executor of its own, so that no server is needed.
async fn resolver(
    config: &Config,
    pool: &PgPool,
    lane_count: LaneCount,
) -> Result<Resolver, Failure> {
    let executor = startup::executor(pool, lane_count, &Arc::default());
    let sources = startup::answer(SourceFiles::read(config)?.in_force(pool)).await?;
    let sources = watch::Sender::new(Arc::new(sources)).subscribe();
    let commands = CommandQueue::start(executor, 1);
    Ok(Resolver::new(pool.clone(), commands, sources, config.duration("future_tolerance")))
}

/// Prints the result. Exit code 1 if a record that should have followed is still parked.
fn report(report: &ReleaseReport, format: FormatKind) -> Result<ExitCode, Failure> {
    let ReleaseReport { id, resolution, applied, duplicates, followed, stopped, .. } = report;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(report)?);
    } else {
        let followers = count(*followed, "record");
        outln!("{resolution}  {id}");
        outln!(
            "{} applied, {duplicates} had been applied before; {followers} followed",
            count(*applied, "action")
        );
    }
    Ok(match stopped {
        None => ExitCode::SUCCESS,
        Some(stopped) => {
            errln!("plaudit: {} is still parked: {}", stopped.id, stopped.reason);
            ExitCode::FAILURE
        }
    })
}

/// Maximum number of bytes of a record that are shown to people; `--format json` has all of them.
const SHOWN_BYTES_MAX: usize = 16 * 1024;

/// Formats untrusted bytes for a terminal: control characters are escaped.
fn shown(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(SHOWN_BYTES_MAX)];
    let mut text = String::with_capacity(cut.len());
    for character in String::from_utf8_lossy(cut).chars() {
        match character {
            '\n' | '\t' => text.push(character),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    if cut.len() == bytes.len() {
        return text;
    }
    format!("{text}\n… {} bytes in all; --format json has them", bytes.len())
}

fn place(record: &Parked) -> String {
    match (&record.topic, record.partition, record.offset) {
        (Some(topic), Some(partition), Some(offset)) => format!("{topic}/{partition}@{offset}"),
        _ => "HTTP".to_owned(),
    }
}
