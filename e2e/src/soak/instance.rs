//! A `plaudit serve` that can be killed and started again.

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plaudit_embedded::{Watchdog, last_lines};
use tokio::process::Child;

use super::error::SoakError;
use super::http::Api;
use super::program::Program;

/// Time limit from the start of the process until it is ready, with a margin for a busy machine.
const READY_MAX: Duration = Duration::from_secs(60);
/// Time limit from SIGTERM to the end: requests may run for 10 s, and batches for a while.
const STOP_MAX: Duration = Duration::from_secs(30);
const GLANCE: Duration = Duration::from_millis(50);

/// One `plaudit serve`.
#[derive(Debug)]
pub struct Instance {
    /// Its name in the consumer group, which it keeps over restarts.
    pub name: String,
    /// The index of its address in the API.
    pub number: usize,
    program: Program,
    listen: String,
    log: PathBuf,
    running: Option<Running>,
}

/// A process, and the shell that kills it if the soak itself is killed. Dropped in this order.
#[derive(Debug)]
struct Running {
    watchdog: Watchdog,
    server: Child,
}

impl Instance {
    /// Creates an instance that is not started yet.
    pub fn new(program: &Program, number: usize, listen: &str, log: PathBuf) -> Self {
        let (name, listen) = (format!("soak-{number}"), listen.to_owned());
        Self { name, number, program: program.clone(), listen, log, running: None }
    }

    /// Starts the process, without waiting until it is ready.
    pub fn start(&mut self) -> Result<(), SoakError> {
        let what = || format!("start {}", self.name);
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.map_err(SoakError::io(what()))?;
        let mut command = self.program.command(&["serve"]);
        command.env("PLAUDIT_HTTP_LISTEN", &self.listen);
        command.env("PLAUDIT_KAFKA_INSTANCE_ID", &self.name);
        command.stdout(log.try_clone().map_err(SoakError::io(what()))?).stderr(log);
        let server = command.spawn().map_err(SoakError::io(what()))?;
        let watchdog = Watchdog::start(server.id().unwrap_or_default(), Signal::SIGKILL);
        let watchdog = watchdog.map_err(SoakError::io(what()))?;
        self.running = Some(Running { watchdog, server });
        Ok(())
    }

    /// Waits until the instance is ready.
    pub async fn ready(&mut self, api: &Api) -> Result<(), SoakError> {
        let deadline = Instant::now() + READY_MAX;
        loop {
            let last = match api.probe(self.number, "/readyz").await {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => error,
            };
            let ended = self.ended_by_itself();
            if Instant::now() > deadline || ended.is_some() {
                let last = ended.map_or(last, |status| format!("it has ended with {status}"));
                let (name, seconds) = (self.name.clone(), READY_MAX.as_secs());
                return Err(SoakError::NotReady { name, seconds, last, log: self.log_tail() });
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Kills the process without warning.
    pub async fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.watchdog.dismiss();
            let _ = running.server.kill().await; // it may have ended by itself
        }
    }

    /// Stops the process in order. Returns its status, or `None` if it had to be killed.
    pub async fn stop(&mut self) -> Option<ExitStatus> {
        let mut running = self.running.take()?;
        running.watchdog.dismiss();
        if let Some(pid) = running.server.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM); // not waited for: still its own pid
        }
        match tokio::time::timeout(STOP_MAX, running.server.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => {
                let _ = running.server.kill().await;
                None
            }
        }
    }

    /// Returns the status of a process that has ended by itself.
    pub fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        self.running.as_mut()?.server.try_wait().ok()?
    }

    /// Returns the end of the log, which covers all restarts.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        last_lines(&String::from_utf8_lossy(&text), 15)
    }
}
