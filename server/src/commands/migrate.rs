//! `plaudit migrate`.

use std::process::ExitCode;

use plaudit_domain::lane::LaneCount;
use plaudit_event_store::schema;

use super::projections;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::outln;
use crate::startup;

/// Migrates the database to this version.
pub async fn run(config: &Config) -> Result<ExitCode, Failure> {
    let lanes = LaneCount::try_from(i64::from(config.number("database.lanes")))?;
    let pool = startup::database(config).await?;
    schema::migrate(&pool, lanes).await?;
    projections::fill_due(&pool).await?;
    let lanes = startup::answer(schema::check(&pool)).await?;
    outln!("the database is ready: {} lanes", lanes.get());
    Ok(ExitCode::SUCCESS)
}
