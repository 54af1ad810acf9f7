//! `plaudit`: one binary, one subcommand per job.

// The macros of std panic when the reader is gone; `outln!` and `errln!` don't.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod config;
mod dev;
mod failure;
mod logging;
mod metrics;
mod open_files;
mod operator;
mod output;
mod past_records;
mod read_pools;
mod signals;
mod source_files;
mod startup;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use cli::{Cli, Command};
use config::Config;
use failure::Failure;

/// Requests make many small, short-lived allocations, which other threads may free.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time limit for threads that still run at the end of the command.
const RUNTIME_SHUTDOWN: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    // TLS clients need a provider for the whole process. Only a second call would fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli));
            // A blocked thread, such as a client of a broker that is gone, does not delay the end.
            runtime.shutdown_timeout(RUNTIME_SHUTDOWN);
            outcome
        }
        Err(error) => Err(Failure::new(format!("can't start the runtime: {error}"))),
    };
    match outcome.and_then(|code| output::finish().map(|()| code)) {
        Ok(code) => code,
        Err(failure) => {
            output::errln!("plaudit: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command. Commands that need no configuration do not read it, so that its errors do not
/// stop them.
async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let config = || Config::load(cli.config.as_deref(), std::env::vars_os(), &cli.overrides);
    match cli.command {
        Command::Dev(args) => commands::dev::run(&mut config()?, args).await,
        Command::Serve(args) => commands::serve::run(&config()?, &args.roles).await,
        Command::Migrate => commands::migrate::run(&config()?).await,
        Command::Config { help_settings: true } => Ok(commands::config::help()),
        Command::Config { help_settings: false } => Ok(commands::config::show(&config()?)),
        Command::Tasks(command) => commands::tasks::run(&config, command).await,
        Command::Sources(command) => commands::sources::run(&config, command).await,
        Command::Ingest(command) => commands::ingest::run(&config()?, command).await,
        Command::Parked(command) => commands::parked::run(&config()?, command).await,
        Command::Rewards(command) => commands::rewards::run(&config()?, command).await,
        Command::Streaks(args) => commands::streaks::run(&config, args).await,
        Command::Audit(command) => commands::audit::run(&config()?, command).await,
        Command::Projections(command) => commands::projections::run(&config()?, command).await,
        Command::Bench { arguments } => commands::bench::run(&arguments),
    }
}
