//! `plaudit parked`.

use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plaudit_event_store::parked::{self, Parked};
use serde_json::json;

use crate::cli::{FormatKind, ParkedCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::outln;
use crate::startup;

/// Lists or shows parked records.
pub async fn run(config: &Config, command: ParkedCommand) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    match command {
        ParkedCommand::List { after, limit, format } => {
            let page = parked::page(&pool, after, i64::from(limit)).await?;
            let (list, next) = (page.parked, page.next);
            if format.format == FormatKind::Json {
                let parked: Vec<_> = list.iter().map(as_json).collect();
                outln!("{}", json!({ "parked": parked, "next": next }));
                return Ok(ExitCode::SUCCESS);
            }
            for record in &list {
                outln!("{}  {}  {}  {}", record.id, record.at, place(record), record.reason);
            }
            match next {
                Some(next) => outln!("{} shown; for the next ones: --after {next}", list.len()),
                None => outln!("{} parked", list.len()),
            }
        }
        ParkedCommand::Show { id, format } => {
            let found = parked::find(&pool, id).await?;
            let record = found.ok_or_else(|| {
                Failure::new(format!(
                    "there is no parked record {id}; `plaudit parked list` lists all"
                ))
            })?;
            if format.format == FormatKind::Json {
                outln!("{}", as_json(&record));
                return Ok(ExitCode::SUCCESS);
            }
            outln!("id          {}", record.id);
            outln!("parked at   {}", record.at);
            outln!("from        {}", place(&record));
            outln!("user        {}", record.user.as_deref().unwrap_or("none named"));
            outln!("reason      {}", record.reason);
            outln!("repairable  {}", record.repairable);
            outln!("headers     {}", record.headers);
            outln!("bytes       {}", shown(&record.bytes));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The most bytes of a record that are shown to people; `--format json` has all of it.
const SHOWN_BYTES_MAX: usize = 16 * 1024;

/// Untrusted bytes for a terminal: control characters are escaped.
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

fn as_json(record: &Parked) -> serde_json::Value {
    json!({
        "id": record.id,
        "reason": record.reason,
        "repairable": record.repairable,
        "user": record.user,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "headers": record.headers,
        "bytes": STANDARD.encode(&record.bytes),
        "at": record.at.to_string(),
    })
}
