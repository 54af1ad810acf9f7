//! `plaudit-embedded run -- COMMAND…`: runs a command with a private `PostgreSQL` and Kafka beside it.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use plaudit_embedded::test_cluster::{DATABASE_URL, KAFKA_BROKERS};
use plaudit_embedded::{EmbeddedError, Kafka, KafkaOptions, Postgres, PostgresOptions, ScratchDir};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
usage: plaudit-embedded run -- COMMAND [ARGUMENT…]

Starts an empty PostgreSQL and an empty Kafka, names them to COMMAND in EMBEDDED_DATABASE_URL and
EMBEDDED_KAFKA_BROKERS, and removes both when COMMAND has ended. Ends with COMMAND's status.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [run, dashes, command, rest @ ..] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if run != "run" || dashes != "--" {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut command = Command::new(command);
    command.args(rest);
    match run_beside_servers(command).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("plaudit-embedded: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The signals that stop the program. A signal is noticed only once it is listened to, so this is
/// done before anything is started.
struct Stops {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Stops {
    fn listen() -> std::io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::SIGINT,
            _ = self.terminate.recv() => Signal::SIGTERM,
        }
    }
}

async fn run_beside_servers(command: Command) -> Result<u8, EmbeddedError> {
    let cannot_run = |program: &str, source| {
        let program = program.to_owned();
        EmbeddedError::Run { program, source }
    };
    let mut stops = Stops::listen().map_err(|source| cannot_run("a signal handler", source))?;
    let dir = ScratchDir::create("run")?;
    let (postgres_dir, kafka_dir) = (dir.path().join("postgres"), dir.path().join("kafka"));
    let servers = async {
        tokio::join!(
            Postgres::start(&postgres_dir, PostgresOptions::scratch()),
            Kafka::start(&kafka_dir, KafkaOptions::scratch()),
        )
    };
    let (postgres, kafka) = tokio::select! {
        servers = servers => (servers.0?, servers.1?),
        stop = stops.next() => return Ok(128 + exit_part(stop as i32)),
    };
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let outcome = run_to_its_end(command, &postgres, &kafka, &mut stops).await;
    // The data is not needed again, so the servers are killed.
    let (postgres, kafka) = tokio::join!(postgres.discard(), kafka.discard());
    postgres.and(kafka)?;
    outcome.map(code_of).map_err(|source| cannot_run(&name, source))
}

async fn run_to_its_end(
    mut command: Command,
    postgres: &Postgres,
    kafka: &Kafka,
    stops: &mut Stops,
) -> std::io::Result<ExitStatus> {
    let mut child = command
        .env(DATABASE_URL, postgres.url("plaudit"))
        .env(KAFKA_BROKERS, kafka.brokers())
        // In a process group of its own, so that a signal reaches COMMAND's own children too; cargo
        // does not pass signals on to a test. A background group may not read from the terminal.
        .process_group(0)
        .stdin(Stdio::null())
        .spawn()?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).map(Pid::from_raw);
    loop {
        tokio::select! {
            status = child.wait() => return status,
            stop = stops.next() => {
                if let Some(group) = group {
                    let _ = killpg(group, stop); // it may have ended just now
                }
            }
        }
    }
}

/// Returns COMMAND's status as a shell reports it: 128 plus the signal's number if a signal ended
/// it.
fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => exit_part(code),
        (None, Some(signal)) => 128 + exit_part(signal),
        (None, None) => 1,
    }
}

fn exit_part(code: i32) -> u8 {
    u8::try_from(code).unwrap_or(1)
}
