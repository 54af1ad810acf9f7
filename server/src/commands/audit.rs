//! `plaudit audit`: what the HTTP interface answers to an auditor, without a server.

use std::process::ExitCode;

use plaudit_api::{EventEntry, Moment, event_entry, state_then};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::reader::{self, Recorded};
use serde_json::json;

use crate::cli::{AuditCommand, FormatKind};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, say};
use crate::{logging, startup};

/// Shows a user's history, or their tasks as they were.
pub async fn run(config: &Config, command: AuditCommand) -> Result<ExitCode, Failure> {
    logging::start(config)?; // what fails inside is told there
    match command {
        AuditCommand::History { user, after, format } => {
            history(config, &user.parse()?, after, format.format).await
        }
        AuditCommand::State { user, at, format } => {
            let moment = at.as_deref().map(Moment::read).transpose();
            let moment = moment.map_err(|wanted| Failure::new(format!("--at: {wanted}")))?;
            state(config, user.parse()?, moment, format.format).await
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
    let mut events: Vec<EventEntry> = Vec::new();
    while !output::has_ended() {
        let page = reader::user_page(lane, user, after, PAGE, &mut connection).await?;
        let Some(last) = page.last() else { break };
        after = last.sequence;
        for recorded in page {
            if format == FormatKind::Json {
                events.push(event_entry(recorded)?);
            } else {
                print_event(&recorded)?;
            }
        }
    }
    if format == FormatKind::Json {
        // All of it, so there never is a next page; the shape is that of the HTTP answer.
        say!("{}", json!({"user": user, "events": events, "next": null}));
    }
    Ok(ExitCode::SUCCESS)
}

fn print_event(recorded: &Recorded) -> Result<(), Failure> {
    let (name, _) = recorded.event.schema();
    let payload = serde_json::to_value(&recorded.event)?;
    say!(
        "{:>6}  {}  {:<8}  {name:<20}  {payload}  caused by {}",
        recorded.sequence,
        recorded.recorded_at,
        recorded.position.to_string(),
        recorded.metadata
    );
    Ok(())
}

async fn state(
    config: &Config,
    user: UserId,
    moment: Option<Moment>,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    let (lane, catalogue) = (Lane::of(user.as_str(), lane_count), CatalogueStore::default());
    let (_, then) = state_then(user, lane, moment, None, &catalogue, &pool).await?;
    if format == FormatKind::Json {
        say!("{}", serde_json::to_string(&then)?);
    } else {
        say!("{} at {}, after event {}", then.user, then.at, then.sequence);
        say!("{}", serde_json::to_string_pretty(&then.tasks)?);
    }
    Ok(ExitCode::SUCCESS)
}
