//! `plaudit audit`: the answers of the HTTP interface to an auditor, without a server.

mod history_table;

use std::process::ExitCode;

use plaudit_audit::{EventEntry, Moment, StateAt};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::reader;
use serde_json::json;

use crate::cli::{AuditCommand, FormatKind};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, outln};
use crate::{logging, startup};

/// Shows a user's history, or their tasks as they were.
pub async fn run(config: &Config, command: AuditCommand) -> Result<ExitCode, Failure> {
    logging::start(config)?; // what fails inside is told there
    match command {
        AuditCommand::History { user, after, format } => {
            history(config, &user.parse()?, after, format.format).await
        }
        AuditCommand::State { user, at, format } => {
            let moment = at.as_deref().map(str::parse::<Moment>).transpose();
            let moment = moment.map_err(|wanted| Failure::new(format!("--at: {wanted}")))?;
            state(config, user.parse()?, moment, format.format).await
        }
    }
}

/// Events are read in pages of this size.
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
    if format == FormatKind::Text {
        outln!("{}", history_table::HEAD);
    }
    while !output::has_ended() {
        let page = reader::user_page(lane, user, after, PAGE, &mut connection).await?;
        if page.is_empty() {
            break;
        }
        for entry in page {
            let event = EventEntry::new(entry)?;
            after = event.sequence;
            if format == FormatKind::Json {
                events.push(event);
            } else {
                outln!("{}", history_table::row(&serde_json::to_value(&event)?));
            }
        }
    }
    if format == FormatKind::Json {
        // All of it, so there never is a next page; the shape is that of the HTTP answer.
        outln!("{}", json!({"user": user, "events": events, "next": null}));
    }
    Ok(ExitCode::SUCCESS)
}

async fn state(
    config: &Config,
    user: UserId,
    moment: Option<Moment>,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    let (lane, catalogue) = (Lane::of(user.as_str(), lane_count), CatalogueStore::default());
    let then = StateAt::read(user, lane, moment, None, &catalogue, &pool).await?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&then)?);
    } else {
        outln!("{} at {}, after event {}", then.user, then.at, then.sequence);
        outln!("{}", serde_json::to_string_pretty(&then.tasks)?);
    }
    Ok(ExitCode::SUCCESS)
}
