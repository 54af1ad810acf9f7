//! `make soak`: see [`plaudit_e2e::soak`].

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, value_parser};
use plaudit_e2e::soak::{self, Options};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Produces traffic while everything is killed and restarted; then every user's books must balance.
#[derive(Debug, Parser)]
struct Cli {
    /// Minutes for which records are produced, 0.1 to 1440.
    #[arg(long, default_value = "10", value_parser = minutes, value_name = "MINUTES")]
    minutes: Duration,
    /// Repeats the traffic and the order of faults. The default is taken from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Records per second, 1 to 1,000,000.
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Users, 1 to 1,000,000.
    #[arg(long, default_value_t = 2000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    users: u32,
    /// The most changes of zone of a user in the nine days that are played, up to 64. Plaudit takes
    /// 64 changes within 800 days as they come.
    #[arg(long, default_value_t = 40, value_parser = value_parser!(u32).range(..=64))]
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
        time: cli.minutes,
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

/// Parses the time of a soak. A shorter one would send no record.
fn minutes(text: &str) -> Result<Duration, String> {
    let parsed = text.parse().ok().filter(|minutes: &f64| (0.1..=1440.0).contains(minutes));
    let minutes = parsed.ok_or("expected a number of minutes from 0.1 to 1440")?;
    Ok(Duration::from_secs_f64(minutes * 60.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_under_which_no_record_is_sent_are_refused() {
        let parsed = |argument: &str| Cli::try_parse_from(["soak", argument]);
        assert_eq!(parsed("--minutes=0.5").unwrap().minutes, Duration::from_secs(30));
        for minutes in ["0", "-1", "NaN", "inf", "x", "0.01"] {
            let error = parsed(&format!("--minutes={minutes}")).unwrap_err().to_string();
            assert!(error.contains("minutes from 0.1 to 1440"), "{error}");
        }
        for argument in ["--rate=0", "--users=0", "--zones-max=65"] {
            assert!(parsed(argument).is_err(), "{argument}");
        }
    }
}
