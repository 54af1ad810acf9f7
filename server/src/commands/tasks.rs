//! `plaudit tasks`.

mod backfill;
mod dry_run;
mod export;
mod files;
mod http;
mod progress;
pub(super) mod source;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use plaudit_api::{PastLookup, Plan, PlannedChange};
use plaudit_domain::catalogue::Status;
use plaudit_domain::ids::TaskId;
use plaudit_domain::user_tasks::Adjustment;
use plaudit_event_store::catalogue_store::PublishError;
use plaudit_release::Operator;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cli::{FormatKind, Reason, TasksArgs, TasksCommand};
use crate::config::{Config, ConfigError};
use crate::failure::Failure;
use crate::output::{count, outln, word};
use crate::past_records::past_lookup;
use crate::source_files::SourceFiles;
use crate::startup;
use files::{ErrorCount, FiledTask, ReadFiles, definitions_of, print_conflict, read};
use source::{CatalogueSource, TaskHistory};

/// Time limit for `plan` to count users.
const COUNTING_MAX: Duration = Duration::from_secs(60);

/// Runs `plaudit tasks`, in the database or through a server.
pub async fn run(
    config: &dyn Fn() -> Result<Config, ConfigError>,
    args: TasksArgs,
) -> Result<ExitCode, Failure> {
    let source =
        async || CatalogueSource::open(args.url.as_deref(), args.token.as_deref(), config).await;
    let server = (args.url.as_deref(), args.token.as_deref());
    match args.command {
        TasksCommand::Schema => {
            outln!("{}", plaudit_task_file::SCHEMA.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Validate { files } => Ok(files::validate(&files)),
        TasksCommand::Plan { files, format } => match read(&files) {
            Some(files) => {
                let source = source().await?;
                // A server asks its own brokers itself.
                let past = match &source {
                    CatalogueSource::Database(pool, _) => {
                        let config = config()?;
                        let files = SourceFiles::read(&config)?;
                        let sources = startup::answer(files.in_force(pool)).await?;
                        past_lookup(&config, watch::channel(Arc::new(sources)).1, pool)
                    }
                    CatalogueSource::Server(_) => PastLookup::none("the server asks"),
                };
                plan(&source, &files, &past, format.format).await
            }
            None => Ok(ExitCode::FAILURE),
        },
        TasksCommand::Publish { files, why } => match read(&files) {
            Some(files) => publish(&source().await?, &files, checked(&why)?).await,
            None => Ok(ExitCode::FAILURE),
        },
        TasksCommand::List(format) => list(&source().await?, format.format).await,
        TasksCommand::Show { id } => {
            let task = source().await?.history(&id.parse()?).await?;
            outln!("{}", serde_json::to_string_pretty(&task.current()?.definition)?);
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::History { id, format } => {
            print_history(&source().await?.history(&id.parse()?).await?, format.format);
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Diff { id, before, after, format } => {
            let task = source().await?.history(&id.parse()?).await?;
            print_diff(&task, [before, after], format.format)?;
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Rollback { id, to, why } => {
            let id: TaskId = id.parse()?;
            let published = source().await?.roll_back(&id, to, checked(&why)?).await?;
            print_published(&published.task, published.version, published.changed);
            Ok(ExitCode::SUCCESS)
        }
        TasksCommand::Export { ids } => export::export(&source().await?, &ids).await,
        TasksCommand::Pause { id, why } => {
            set_status(&source().await?, &id, Status::Paused, &why).await
        }
        TasksCommand::Resume { id, why } => {
            set_status(&source().await?, &id, Status::Active, &why).await
        }
        TasksCommand::Retire { id, yes, why } => {
            let source = source().await?;
            if !yes && !confirmed(&source, &id).await? {
                return Err(Failure::new("nothing was changed"));
            }
            set_status(&source, &id, Status::Retired, &why).await
        }
        TasksCommand::Backfill { command } => backfill::run(&source().await?, command).await,
        TasksCommand::Why { user, task, action, format } => {
            let asked = dry_run::WhyAsked { user, task, action };
            dry_run::why(&source().await?, config, asked, format.format).await
        }
        TasksCommand::Adjust { user, task, by, to, how } => {
            let adjustment = match (by, to) {
                (_, Some(to)) => Adjustment::To(to),
                (by, None) => Adjustment::By(by.unwrap_or_default()),
            };
            let correction = progress::Correction::Adjust(adjustment);
            progress::correct(server, config, (&user, &task), correction, how).await
        }
        TasksCommand::Complete { user, task, how } => {
            let correction = progress::Correction::Complete;
            progress::correct(server, config, (&user, &task), correction, how).await
        }
        TasksCommand::Reset { user, task, how } => {
            let correction = progress::Correction::Reset;
            progress::correct(server, config, (&user, &task), correction, how).await
        }
        TasksCommand::Restore { user, task, period, why } => {
            progress::restore(server, config, (&user, &task), period, why).await
        }
        TasksCommand::Simulate { files, user, actions, format } => match read(&files) {
            Some(files) => {
                let drafts = definitions_of(&files.tasks);
                let asked = dry_run::Asked { drafts, user, actions };
                dry_run::simulate(&source().await?, config, asked, &files.tasks, format.format)
                    .await
            }
            None => Ok(ExitCode::FAILURE),
        },
    }
}

fn checked(why: &Reason) -> Result<Option<String>, Failure> {
    Ok(why.reason.as_deref().map(Operator::checked_reason).transpose()?)
}

/// Asks for confirmation on a terminal. A script is not asked: the contract has the command without
/// `--yes`.
async fn confirmed(source: &CatalogueSource, id: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(true);
    }
    let needed_by = source.needed_by(&id.parse()?).await?;
    let mut errors = std::io::stderr().lock();
    for dependant in needed_by {
        writeln!(errors, "{dependant} needs {id}: users who have not completed it are shut out")?;
    }
    write!(errors, "Retire {id} for good? Its id is never used again. Type yes: ")?;
    errors.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

async fn publish(
    source: &CatalogueSource,
    files: &ReadFiles<'_>,
    reason: Option<String>,
) -> Result<ExitCode, Failure> {
    let tasks: Vec<_> = files.tasks.iter().map(|filed| &filed.task).collect();
    match source.publish(&tasks, reason).await {
        Ok(all) => {
            for published in &all {
                print_published(&published.task, published.version, published.changed);
            }
            files.print_warnings_of(all.iter().map(|task| (&task.task, &task.warnings[..])));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => refused(error, &files.tasks),
    }
}

fn print_published(task: &TaskId, version: u32, changed: bool) {
    let what = if changed { "published" } else { "unchanged" };
    outln!("{what}  {task}  version {version}");
}

/// Prints refused tasks, each error with its place in the files.
fn refused(error: source::SourceError, tasks: &[FiledTask<'_>]) -> Result<ExitCode, Failure> {
    let mut printed = ErrorCount::default();
    match error {
        source::SourceError::Catalogue(PublishError::Conflicts(conflicts)) => {
            conflicts.iter().for_each(|conflict| print_conflict(conflict, tasks, &mut printed));
        }
        source::SourceError::Http(http::HttpError::BadInput(errors)) => {
            for error in errors {
                match error.place().and_then(|(index, field)| Some((tasks.get(index)?, field))) {
                    Some((FiledTask { file, task }, field)) => {
                        printed.error(file, &task.diagnostic(&field, &error.detail));
                    }
                    None => printed.plain(&error.detail),
                }
            }
        }
        other => return Err(other.into()),
    }
    printed.sum();
    Ok(ExitCode::FAILURE)
}

async fn plan(
    source: &CatalogueSource,
    files: &ReadFiles<'_>,
    past: &PastLookup,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let tasks: Vec<_> = files.tasks.iter().map(|filed| &filed.task).collect();
    let plan = match source.plan(&tasks, past, COUNTING_MAX).await {
        Ok(plan) => plan,
        Err(error) => return refused(error, &files.tasks),
    };
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&plan)?);
        return Ok(ExitCode::SUCCESS);
    }
    print_plan(&plan);
    files.print_warnings_of(plan.tasks.iter().map(|task| (&task.task, &task.warnings[..])));
    Ok(ExitCode::SUCCESS)
}

fn print_plan(plan: &Plan) {
    for task in &plan.tasks {
        outln!("{:<10} {}  version {}", word(&task.change), task.task, task.version);
        for change in &task.changes {
            outln!(
                "    {}: {} -> {}",
                change.path,
                shown(change.before.as_ref()),
                shown(change.after.as_ref())
            );
        }
        if let Some(planned) = &task.backfill {
            backfill::print_plan(planned);
        }
        if task.change != PlannedChange::Changed {
            continue;
        }
        let Some(users) = &task.users else {
            outln!("    users: too many to count in time");
            continue;
        };
        let lines = [
            (users.completed, "have completed their period and stay completed"),
            (users.keep_version, "continue under their version"),
            (users.adopt_version, "continue under the new version"),
            (users.adopt_at_target, "of these already have enough for the new target"),
            (users.begin_anew, "start their next period with the new version"),
            (users.outside_audience, "are outside the new audience: nothing counts for them"),
        ];
        for (number, what) in lines.into_iter().filter(|(number, _)| *number > 0) {
            outln!("    {} {what}", count(number, "user"));
        }
    }
    let changed = plan.tasks.iter().filter(|task| task.change != PlannedChange::Unchanged);
    outln!("{} would be published", count(changed.count(), "version"));
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(absent)".to_owned(), ToString::to_string)
}

async fn list(source: &CatalogueSource, format: FormatKind) -> Result<ExitCode, Failure> {
    let tasks = source.list().await?;
    if format == FormatKind::Json {
        outln!("{}", json!({ "tasks": tasks }));
        return Ok(ExitCode::SUCCESS);
    }
    for task in &tasks {
        let (kind, status) = (word(&task.kind), word(&task.status));
        outln!("{:<24} {kind} v{} {status}  {}", task.id.as_str(), task.version, task.title);
    }
    outln!("{}", count(tasks.len(), "task"));
    Ok(ExitCode::SUCCESS)
}

fn print_history(task: &TaskHistory, format: FormatKind) {
    if format == FormatKind::Json {
        outln!("{}", json!({"task": task.id, "status": task.status, "changes": task.changes}));
        return;
    }
    for change in &task.changes {
        let version = change.version.map_or(String::new(), |version| format!(" version {version}"));
        let why = change.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        let span = change.from.zip(change.until);
        let span =
            span.map_or(String::new(), |(from, until)| format!(" from {from} until {until}"));
        outln!("{}  {}{version}{span}  by {}{why}", change.at, word(&change.change), change.by);
    }
}

fn print_diff(task: &TaskHistory, versions: [u32; 2], format: FormatKind) -> Result<(), Failure> {
    let version = |number| task.version(number).map(|version| &version.definition);
    let [before, after] = versions;
    let changes = plaudit_task_file::diff(version(before)?, version(after)?);
    if format == FormatKind::Json {
        outln!(
            "{}",
            json!({ "task": task.id, "before": before, "after": after, "changes": changes })
        );
        return Ok(());
    }
    for change in &changes {
        outln!(
            "{}: {} -> {}",
            change.path,
            shown(change.before.as_ref()),
            shown(change.after.as_ref())
        );
    }
    outln!("{}", count(changes.len(), "difference"));
    Ok(())
}

async fn set_status(
    source: &CatalogueSource,
    id: &str,
    status: Status,
    why: &Reason,
) -> Result<ExitCode, Failure> {
    let id: TaskId = id.parse()?;
    let needed_by = source.set_status(&id, status, checked(why)?).await?;
    outln!("{id} is {}", word(&status));
    let lasts = if status == Status::Paused { "until it is resumed" } else { "any more" };
    for dependant in needed_by {
        outln!("warning: {dependant} needs {id}, which can't be completed {lasts}");
    }
    Ok(ExitCode::SUCCESS)
}
