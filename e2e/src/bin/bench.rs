//! `plaudit-bench`: measures the figures of `docs/performance.md` in one run on this machine.

use clap::Parser;
use plaudit_e2e::bench::{self, Options};

#[tokio::main]
async fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter("warn,librdkafka=error")
        .with_writer(std::io::stderr)
        .init();
    match bench::run(Options::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plaudit-bench: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
