//! `plaudit projections`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::schema;
use plaudit_projections::difference::{UnreadableUser, UnreadableUsers};
use plaudit_projections::rebuild::{self, RebuildOptions, RebuildOutcome, RebuildStatus};
use plaudit_projections::verify::{VerifyAnswer, VerifyProgress, verify};
use serde_json::json;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::cli::{FormatKind, ProjectionsCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, errln, outln};
use crate::signals::ShutdownSignals;
use crate::{operator, startup};

/// Lists, rebuilds and verifies read models.
pub async fn run(config: &Config, command: ProjectionsCommand) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    match command {
        ProjectionsCommand::List(format) => list(&pool, format.format).await,
        ProjectionsCommand::Rebuild { name, reason } => {
            let author = operator::author(reason.as_deref())?;
            rebuild_one(&pool, &name, &author).await
        }
        ProjectionsCommand::Pause { name, reason } => {
            let author = operator::author(reason.as_deref())?;
            startup::answer(rebuild::pause(&pool, &name, &author)).await?;
            outln!("{name}: paused");
            Ok(ExitCode::SUCCESS)
        }
        ProjectionsCommand::Resume { name, reason } => {
            let author = operator::author(reason.as_deref())?;
            startup::answer(rebuild::resume(&pool, &name, &author)).await?;
            outln!("{name}: resumed");
            Ok(ExitCode::SUCCESS)
        }
        ProjectionsCommand::Cancel { name, reason } => {
            let author = operator::author(reason.as_deref())?;
            startup::answer(rebuild::cancel(&pool, &name, &author)).await?;
            outln!("{name}: cancelled");
            Ok(ExitCode::SUCCESS)
        }
        ProjectionsCommand::DropOld { name, reason } => {
            let author = operator::author(reason.as_deref())?;
            startup::answer(rebuild::drop_old(&pool, &name, Some(&author))).await?;
            outln!("{name}: its old version is dropped");
            Ok(ExitCode::SUCCESS)
        }
        ProjectionsCommand::Verify { name, format } => {
            verify_all(&pool, name.as_deref(), format.format).await
        }
    }
}

async fn list(pool: &PgPool, format: FormatKind) -> Result<ExitCode, Failure> {
    let all = startup::answer(rebuild::list(pool)).await?;
    if format == FormatKind::Json {
        outln!("{}", json!({ "projections": all }));
        return Ok(ExitCode::SUCCESS);
    }
    for projection in &all {
        let state = projection.rebuild.as_ref().map_or("never rebuilt".to_owned(), line);
        let old = if projection.old_kept { ", old version kept (drop-old)" } else { "" };
        outln!("{:<14} {state}{old}", projection.name);
    }
    Ok(ExitCode::SUCCESS)
}

fn line(status: &RebuildStatus) -> String {
    let rate = status.rate.map_or(String::new(), |rate| format!(", {rate:.0} events/s"));
    let remaining =
        status.remaining.map_or(String::new(), |left| format!(", about {} s left", left.as_secs()));
    format!(
        "{} ({}): {} users, {} of {} events{rate}{remaining}",
        status.state,
        status.phase.as_str(),
        status.users,
        status.events,
        status.events_total
    )
}

/// Shows progress: a bar on a terminal, a line every few seconds elsewhere.
struct Shown {
    bar: Option<ProgressBar>,
    last_line: Mutex<Option<Instant>>,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{bar:40} {pos}/{len} events  {per_sec}  {eta} left  {msg}",
            );
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, last_line: Mutex::new(None) }
    }

    fn show(&self, done: u64, total: u64, message: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message());
        } else if let Ok(mut last) = self.last_line.lock()
            && last.is_none_or(|at| at.elapsed() > Duration::from_secs(2))
        {
            errln!("{done} of {total} events  {}", message());
            *last = Some(Instant::now());
        }
    }
}

/// Rebuilds a projection and shows its progress. Stops at a signal.
async fn rebuild_shown(
    pool: &PgPool,
    name: &str,
    author: Option<&Author>,
) -> Result<RebuildOutcome, Failure> {
    let shown = Shown::new();
    let stop = CancellationToken::new();
    let (mut signals, on_signal) = (ShutdownSignals::listen(None)?, stop.clone());
    tokio::spawn(async move {
        signals.next().await;
        on_signal.cancel();
    });
    let show =
        |status: &RebuildStatus| shown.show(status.events, status.events_total, || line(status));
    let options = RebuildOptions::default();
    Ok(rebuild::rebuild_by(pool, name, options, author, show, stop).await?)
}

/// Fills the projections that a migration emptied. An interrupted one is resumed.
pub async fn fill_due(pool: &PgPool) -> Result<(), Failure> {
    for name in startup::answer(schema::projections_due(pool)).await? {
        errln!("filling {name} from the log");
        match rebuild_shown(pool, &name, None).await? {
            RebuildOutcome::Swapped(_) => {
                startup::answer(rebuild::drop_old(pool, &name, None)).await?;
                startup::answer(schema::projection_filled(pool, &name)).await?;
            }
            RebuildOutcome::Interrupted | RebuildOutcome::Cancelled => {
                return Err(Failure::new(format!(
                    "{name} is not filled yet; run `plaudit migrate` again to resume"
                )));
            }
        }
    }
    Ok(())
}

async fn rebuild_one(pool: &PgPool, name: &str, author: &Author) -> Result<ExitCode, Failure> {
    match rebuild_shown(pool, name, Some(author)).await? {
        RebuildOutcome::Swapped(differences) => {
            outln!(
                "{name} is rebuilt and live; rows that differed from the log: {}",
                differences.count
            );
            say_unreadable(
                &startup::answer(rebuild::skipped(pool, name)).await?,
                "the rows of these users are as they were",
            );
            Ok(ExitCode::SUCCESS)
        }
        RebuildOutcome::Interrupted => {
            outln!("{name}: interrupted; run the same command to resume");
            Ok(ExitCode::FAILURE)
        }
        RebuildOutcome::Cancelled => {
            outln!("{name}: cancelled; the live version is unchanged");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Prints the users with events that can't be read.
fn say_unreadable(users: &UnreadableUsers, what_follows: &str) {
    if users.count == 0 {
        return;
    }
    outln!("unreadable: {}; {what_follows}", count(users.count, "user"));
    for UnreadableUser { lane, user, reason } in &users.first {
        outln!("  user {user} in lane {lane}: {reason}");
    }
}

async fn verify_all(
    pool: &PgPool,
    name: Option<&str>,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let shown = Shown::new();
    let show =
        |p: VerifyProgress| shown.show(p.events, p.events_total, || format!("{} users", p.users));
    let report = verify(pool, name, show).await?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&VerifyAnswer::from(&report))?);
    } else {
        for d in &report.differences.first {
            outln!(
                "{} lane {} user {}:\n  live {}\n  log  {}",
                d.table,
                d.lane,
                d.user,
                d.live.as_deref().unwrap_or("no row"),
                d.log.as_deref().unwrap_or("no row")
            );
        }
        for (lane, user) in &report.behind {
            outln!(
                "behind: user {user} in lane {lane}; the next batch that touches the user catches up"
            );
        }
        say_unreadable(&report.unreadable, "the rows of these users were not compared");
        let verdict = if report.is_equal() { "equal" } else { "DIFFERENT" };
        outln!(
            "{verdict}: {}, {}, {} different",
            count(report.users, "user"),
            count(report.events, "event"),
            count(report.differences.count, "row")
        );
    }
    Ok(if report.is_equal() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
