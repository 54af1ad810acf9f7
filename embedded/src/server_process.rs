//! A server as a child process that ends together with this process.

use crate::EmbeddedError;
use crate::watchdog::Watchdog;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Interval at which an ending process is checked.
const GLANCE: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(crate) struct ServerProcess {
    server: Child,
    watchdog: Watchdog,
}

impl ServerProcess {
    /// Runs `command` with its output in `log`. If this process dies without stopping the server,
    /// the server gets the signal `if_orphaned`.
    pub(crate) fn spawn(
        command: &mut Command,
        log: &Path,
        if_orphaned: Signal,
    ) -> Result<Self, EmbeddedError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let out = File::create(log).map_err(EmbeddedError::file("create", log))?;
        let err = out.try_clone().map_err(EmbeddedError::file("open", log))?;
        let mut server = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            // Ctrl-C in a terminal reaches every process of its group. This process decides what
            // stops when.
            .process_group(0)
            .spawn()
            .map_err(|source| EmbeddedError::Run { program, source })?;
        match Watchdog::start(server.id(), if_orphaned) {
            Ok(watchdog) => Ok(Self { server, watchdog }),
            Err(source) => {
                let _ = server.kill();
                let _ = server.wait();
                Err(EmbeddedError::Run { program: "sh".to_owned(), source })
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.server.try_wait(), Ok(None))
    }

    /// Sends `signal` and waits for the end, or kills the process after `wait_max`.
    pub(crate) async fn end(mut self, signal: Signal, wait_max: Duration) {
        self.send(signal);
        let deadline = Instant::now() + wait_max;
        while !self.has_ended() && Instant::now() < deadline {
            tokio::time::sleep(GLANCE).await;
        }
        // Dropping `self` kills what is left.
    }

    /// Does the same as [`Self::end`] without awaiting.
    pub(crate) fn end_blocking(mut self, signal: Signal, wait_max: Duration) {
        self.send(signal);
        let deadline = Instant::now() + wait_max;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::sleep(GLANCE);
        }
    }

    fn send(&mut self, signal: Signal) {
        if let (false, Ok(pid)) = (self.has_ended(), i32::try_from(self.server.id())) {
            let _ = kill(Pid::from_raw(pid), signal); // not waited for yet, so the pid is still its own
        }
    }
}

impl Drop for ServerProcess {
    /// Ends the watchdog first: it must never signal a pid that the system has given to another
    /// process.
    fn drop(&mut self) {
        self.watchdog.dismiss();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
