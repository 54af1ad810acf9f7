//! `make soak`: see [`plaudit_e2e::soak`].

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use plaudit_e2e::soak::{self, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Produces traffic while everything is killed and restarted; then every user's books must balance.
#[derive(Debug, Parser)]
struct Cli {
    /// Minutes for which records are produced.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Repeats the traffic and the order of faults. The default is taken from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Records per second.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// Users.
    #[arg(long, default_value_t = 2000)]
    users: u32,
    /// The most changes of zone of a user in the nine days that are played. Plaudit takes 64 within
    /// 800 days.
    #[arg(long, default_value_t = 40)]
    zones_max: u32,
    /// The program under test. The default is the one beside this program.
    #[arg(long, value_name = "PATH")]
    plaudit: Option<PathBuf>,
    /// Keeps the logs of both `plaudit serve` in this folder, and the records of users whose books
    /// differ.
    #[arg(long, value_name = "DIR")]
    keep_logs: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // A broker that is down is the soak's own doing, so its clients need not report it.
    let filter = EnvFilter::new("info,rdkafka=off");
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_target(false).init();
    let cli = Cli::parse();
    // Unless a program is named, the test is of one built from the present sources.
    let beside = || soak::beside(&std::env::current_exe().unwrap_or_default());
    let plaudit = match cli.plaudit.map_or_else(beside, Ok) {
        Ok(plaudit) => plaudit,
        Err(error) => {
            eprintln!("soak: {error}");
            return ExitCode::FAILURE;
        }
    };
    let options = Options {
        time: Duration::from_secs_f64(cli.minutes.max(0.0) * 60.0),
        rate: cli.rate,
        users: cli.users,
        zones_max: cli.zones_max,
        seed: cli.seed.unwrap_or_else(soak::seed_of_now),
        // Made absolute, since it is started in another folder.
        plaudit: plaudit.canonicalize().unwrap_or(plaudit),
        keep_logs: cli.keep_logs,
    };
    eprintln!("soak: seed {}", options.seed);
    let stop = CancellationToken::new();
    tokio::spawn(stop_on_signal(stop.clone()));
    match soak::run(&options, &stop).await {
        Ok(verdict) => {
            print!("{verdict}");
            if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("soak with seed {}: {error}", options.seed);
            ExitCode::FAILURE
        }
    }
}

async fn stop_on_signal(stop: CancellationToken) {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    if let (Ok(mut terminate), Ok(mut interrupt)) = signals {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    }
}
