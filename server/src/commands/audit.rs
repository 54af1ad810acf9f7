//! `plaudit audit`: gives an auditor the answers of the HTTP interface, without a server.

mod history_table;

use std::process::ExitCode;

use plaudit_audit::{EventEntry, Explanation, GrantEntry, Moment, StateAt};
use plaudit_digests::verify::{self, UserVerification};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::operations::{self, Operation, OperationsPage};
use plaudit_event_store::reader;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::cli::{AuditCommand, FormatKind};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{self, count, outln};
use crate::{logging, startup};

/// Runs `plaudit audit`.
pub async fn run(config: &Config, command: AuditCommand) -> Result<ExitCode, Failure> {
    logging::start(config)?; // failures inside are logged
    match command {
        AuditCommand::History { user, after, format } => {
            history(config, &user.parse()?, after, format.format).await
        }
        AuditCommand::State { user, at, format } => {
            let moment = at.as_deref().map(str::parse::<Moment>).transpose();
            let moment = moment.map_err(|expected| Failure::new(format!("--at: {expected}")))?;
            state(config, user.parse()?, moment, format.format).await
        }
        AuditCommand::Explain { grant, format } => explain(config, grant, format.format).await,
        AuditCommand::Verify { user: Some(user), format } => {
            verify_user(config, &user.parse()?, format.format).await
        }
        AuditCommand::Operations { after, limit, format } => {
            let (pool, _) = startup::checked_database(config).await?;
            list_operations(after, limit, format.format, &pool).await
        }
        AuditCommand::Verify { user: None, format } => verify_all(config, format.format).await,
    }
}

async fn list_operations(
    after: Option<Uuid>,
    limit: u16,
    format: FormatKind,
    pool: &PgPool,
) -> Result<ExitCode, Failure> {
    let page = startup::answer(operations::list(after, limit.into(), pool)).await?;
    let page = page.ok_or_else(|| Failure::new("unknown operation in --after"))?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&page)?);
        return Ok(ExitCode::SUCCESS);
    }
    let OperationsPage { operations: found, next } = page;
    for Operation { at, operator, operation, subject, reason, .. } in &found {
        outln!("{at}  {operation:<24} {subject}  by {operator}: {reason}");
    }
    match next {
        Some(next) => outln!("{} shown; for the next ones: --after {next}", found.len()),
        None => outln!("{}", count(found.len(), "operation")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Number of events per page.
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
        let page =
            startup::answer(reader::user_page(lane, user, after, PAGE, &mut connection)).await?;
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
        // All events, so there is no next page; the shape is that of the HTTP answer.
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
    let then = startup::answer(StateAt::read(user, lane, moment, None, &catalogue, &pool)).await?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&then)?);
    } else {
        outln!("{} at {}, after event {}", then.user, then.at, then.sequence);
        outln!("{}", serde_json::to_string_pretty(&then.tasks)?);
    }
    Ok(ExitCode::SUCCESS)
}

async fn explain(config: &Config, grant: Uuid, format: FormatKind) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let found = startup::answer(Explanation::read(grant, &pool)).await?;
    let found = found.ok_or_else(|| Failure::new(format!("unknown grant {grant}")))?;
    let json = serde_json::to_value(&found)?;
    if format == FormatKind::Json {
        outln!("{json}");
        return Ok(ExitCode::SUCCESS);
    }
    let GrantEntry { user, task, period, milestone, amount, code, .. } = &found.grant;
    let state = json["grant"]["state"].as_str().unwrap_or_default();
    match &json["message"] {
        Value::Null => outln!("message     unknown: the event that granted it is missing"),
        message => match &message["source_position"] {
            Value::Null => outln!("message     HTTP request {}", plain(&message["request"])),
            at => outln!(
                "message     {}/{}@{}",
                plain(&at["topic"]),
                plain(&at["partition"]),
                plain(&at["offset"])
            ),
        },
    }
    match &json["command"]["action"] {
        Value::Null => outln!("command     a request"),
        action => outln!(
            "command     {} {} from {}",
            plain(&action["type"]),
            plain(&action["id"]),
            plain(&action["source"])
        ),
    }
    let rows = |name: &str| json[name].as_array().cloned().unwrap_or_default();
    outln!("{}", history_table::HEAD);
    rows("events").iter().for_each(|event| outln!("{}", history_table::row(event)));
    outln!(
        "grant       {grant}: {amount} {code} for {user}, {task} {period} at {milestone}, {state}"
    );
    rows("since").iter().for_each(|event| outln!("{}", history_table::row(event)));
    for delivery in &found.deliveries {
        let why = delivery.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        let attempts = count(delivery.attempts, "attempt");
        outln!("delivery    {}: {}, {attempts}{why}", delivery.channel, delivery.state);
    }
    Ok(ExitCode::SUCCESS)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

async fn verify_user(
    config: &Config,
    user: &UserId,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    let found = verify::user(&pool, Lane::of(user.as_str(), lane_count), user).await?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&found)?);
    } else {
        let UserVerification { events, covered, digest, .. } = &found;
        outln!("{user}: {}, {covered} of them covered", count(*events, "event"));
        outln!("digest {digest}");
        print_faults(&found);
    }
    Ok(if found.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_faults(found: &UserVerification) {
    for fault in &found.faults {
        outln!("{}: {fault}", found.user);
    }
}

async fn verify_all(config: &Config, format: FormatKind) -> Result<ExitCode, Failure> {
    let (pool, lane_count) = startup::checked_database(config).await?;
    let (mut users, mut events, mut changed) = (0, 0, Vec::new());
    for number in 0..lane_count.get() {
        let found = verify::lane(&pool, Lane(i16::try_from(number)?)).await?;
        users += found.users;
        events += found.events;
        if format == FormatKind::Text {
            found.changed.iter().for_each(print_faults);
        }
        changed.extend(found.changed);
    }
    let intact = changed.is_empty();
    if format == FormatKind::Json {
        outln!(
            "{}",
            json!({"intact": intact, "users": users, "events": events, "changed": changed})
        );
    } else {
        let verdict = if intact { "nothing was changed" } else { "the log is not as it was" };
        outln!("{}, {}: {verdict}", count(users, "user"), count(events, "event"));
    }
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
