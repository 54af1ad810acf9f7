//! `plaudit streaks`.

use std::process::ExitCode;

use plaudit_domain::ids::TaskId;
use plaudit_event_store::catalogue_store::{AmnestyScope, DeclaredAmnesty};
use plaudit_release::Operator;
use serde_json::json;

use super::tasks::source::CatalogueSource;
use crate::cli::{FormatKind, StreaksArgs, StreaksCommand};
use crate::config::{Config, ConfigError};
use crate::failure::Failure;
use crate::output::{count, outln};

/// Runs `plaudit streaks`, in the database or through a server.
pub async fn run(
    config: &dyn Fn() -> Result<Config, ConfigError>,
    args: StreaksArgs,
) -> Result<ExitCode, Failure> {
    let source =
        async || CatalogueSource::open(args.url.as_deref(), args.token.as_deref(), config).await;
    match args.command {
        StreaksCommand::Amnesty { from, until, tasks, reason } => {
            let reason = Operator::checked_reason(&reason)?;
            let scope = AmnestyScope { from, until, tasks };
            let declared = source().await?.declare_amnesty(scope, &reason).await?;
            outln!("amnesty  {}", described(&declared));
            outln!("in force: no streak breaks over a period that it touches");
        }
        StreaksCommand::List(format) => {
            let amnesties = source().await?.amnesties().await?;
            if format.format == FormatKind::Json {
                outln!("{}", json!({ "amnesties": amnesties }));
                return Ok(ExitCode::SUCCESS);
            }
            for amnesty in &amnesties {
                let DeclaredAmnesty { at, by, reason, .. } = amnesty;
                outln!("{at}  {}  by {by}: {reason}", described(amnesty));
            }
            outln!("{}", count(amnesties.len(), "declaration"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Describes an amnesty by its span and tasks.
fn described(amnesty: &DeclaredAmnesty) -> String {
    let AmnestyScope { from, until, tasks } = &amnesty.scope;
    let tasks = match tasks {
        None => "all continuous tasks".to_owned(),
        Some(tasks) => tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", "),
    };
    format!("{from} to {until}  {tasks}")
}
