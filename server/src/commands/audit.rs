//! `plaudit audit`.

use std::process::ExitCode;

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::screen::{ScreenRequest, screen};
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::reader::{self, Recorded, Until};
use serde_json::json;

use crate::cli::{AuditCommand, FormatKind};
use crate::config::Config;
use crate::failure::Failure;
use crate::startup;

/// Shows a user's history, or their tasks as they were.
pub async fn run(config: &Config, command: AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::History { user, after, format } => {
            history(config, &user.parse()?, after, format.format).await
        }
        AuditCommand::State { user, at, format } => {
            state(config, &user.parse()?, at.as_deref(), format.format).await
        }
    }
}

/// How many events are read at once.
const PAGE: i64 = 1_000;

async fn history(
    config: &Config,
    user: &UserId,
    mut after: i64,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    let mut connection = pool.acquire().await?;
    let lane = Lane::of(user.as_str(), lane_count);
    loop {
        let page = reader::user_page(lane, user, after, PAGE, &mut connection).await?;
        let Some(last) = page.last() else { return Ok(ExitCode::SUCCESS) };
        after = last.sequence;
        for recorded in &page {
            print_event(recorded, format)?;
        }
    }
}

/// One line per event; JSON lines for programs.
fn print_event(recorded: &Recorded, format: FormatKind) -> Result<(), Failure> {
    let (name, version) = recorded.event.schema();
    let payload = serde_json::to_value(&recorded.event)?;
    if format == FormatKind::Json {
        println!(
            "{}",
            json!({"sequence": recorded.sequence, "position": recorded.position.to_string(), "type": name,
                   "version": version, "recorded_at": recorded.recorded_at.to_string(),
                   "metadata": recorded.metadata, "payload": payload})
        );
    } else {
        println!(
            "{:>6}  {}  {:<8}  {name:<20}  {payload}  caused by {}",
            recorded.sequence,
            recorded.recorded_at,
            recorded.position.to_string(),
            recorded.metadata
        );
    }
    Ok(())
}

async fn state(
    config: &Config,
    user: &UserId,
    at: Option<&str>,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    let mut connection = pool.acquire().await?;
    let until = at.map(parse_until).transpose()?;
    let lane = Lane::of(user.as_str(), lane_count);
    let (state, sequence) = reader::fold_user(lane, user, until, &mut connection).await?;
    let newest = CatalogueStore::default().newest(&pool).await?;
    let seen_at = match until {
        Some(Until::Time(at)) => at,
        Some(Until::Sequence(last)) => {
            let page =
                reader::user_page(lane, user, last.saturating_sub(1), 1, &mut connection).await?;
            page.first().map_or_else(Timestamp::now, |recorded| recorded.recorded_at)
        }
        None => Timestamp::now(),
    };
    let request = ScreenRequest { locale: None, category: None, state: None, task: None };
    let tasks = screen(user, &state, &newest.as_of(seen_at), seen_at, &request);
    if format == FormatKind::Json {
        println!(
            "{}",
            json!({"user": user, "sequence": sequence, "at": seen_at.to_string(), "tasks": tasks})
        );
    } else {
        println!("{user} at {seen_at}, after event {sequence}");
        println!("{}", serde_json::to_string_pretty(&tasks)?);
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_until(text: &str) -> Result<Until, Failure> {
    if let Ok(sequence) = text.parse() {
        return Ok(Until::Sequence(sequence));
    }
    let at = plaudit_domain::action::instant(text);
    at.map(Until::Time).map_err(|_| {
        Failure::new(format!("--at takes an RFC 3339 time or a sequence, got {text:?}"))
    })
}
