//! The log: on standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::failure::Failure;

/// Starts the log for this process.
pub fn start(config: &Config) -> Result<(), Failure> {
    let level = config.get("log.level").unwrap_or("info");
    let filter = EnvFilter::try_new(level).map_err(|error| {
        Failure::new(format!(
            "`log.level` is not a valid filter, such as info or plaudit_ingest=debug: {error}"
        ))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // The error would go to standard error, by a macro that panics if standard error is gone.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.get("log.format") {
        Some("json") => builder.json().try_init(),
        _ => builder.try_init(),
    };
    started.map_err(|error| Failure::new(format!("can't start the log: {error}")))
}
