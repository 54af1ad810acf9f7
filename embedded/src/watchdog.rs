//! Ends a child process if this process dies.

use nix::sys::signal::Signal;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// A shell that signals a child process if this process dies. Dropping the watchdog ends the shell
/// without a signal.
///
/// End the watchdog before the child: it must never signal a pid that the system has given to
/// another process.
#[derive(Debug)]
pub struct Watchdog(Child);

impl Watchdog {
    /// Starts a shell that waits until this process's end of its pipe is closed, which the kernel
    /// does when this process dies, and then signals `pid`. Linux's parent-death signal would be
    /// sent as soon as the *thread* that spawned the child ends, and threads of an async runtime do
    /// end.
    pub fn start(pid: u32, signal: Signal) -> std::io::Result<Self> {
        let name = signal.as_str().trim_start_matches("SIG");
        let shell = Command::new("/bin/sh")
            .args(["-c", r#"trap "" INT TERM HUP; read -r _; kill -s "$0" "$1""#])
            .args([name, &pid.to_string()])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(shell))
    }

    /// Ends the shell. Does nothing if it has ended.
    pub fn dismiss(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.dismiss();
    }
}
