//! A server's folder: locks it, and ends processes that an earlier owner left running in it.

use crate::EmbeddedError;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A folder that no other process uses while this value lives. The kernel releases the lock when
/// the process dies, however it dies.
#[derive(Debug)]
pub(crate) struct OwnedDir {
    path: PathBuf,
    _lock: File,
}

impl OwnedDir {
    /// Creates the folder if it is missing, readable by its owner only, and locks it.
    pub(crate) fn claim(dir: &Path) -> Result<Self, EmbeddedError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(EmbeddedError::file("create", dir))?;
        // Processes are recognised by their working directory, for which the kernel reports the
        // full path.
        let path = fs::canonicalize(dir).map_err(EmbeddedError::file("find", dir))?;
        let lock_path = path.join("owner.lock");
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(EmbeddedError::file("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = lock.read_to_string(&mut owner); // the name is a courtesy
                return Err(EmbeddedError::InUse { dir: path, pid: owner.trim().parse().ok() });
            }
            Err(TryLockError::Error(source)) => {
                return Err(EmbeddedError::File { action: "lock", path: lock_path, source });
            }
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(EmbeddedError::file("write", &lock_path))?;
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Kills every process of `program` that works in `dir`, and waits until the processes and their
/// ports are gone. `PostgreSQL` refuses to start while a backend of a killed postmaster still runs.
pub(crate) async fn kill_leftovers(program: &str, dir: &Path) -> Result<(), EmbeddedError> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut killed = Vec::new();
    loop {
        for pid in processes_in(program, dir) {
            let _ = kill(pid, Signal::SIGKILL); // it may have ended by itself meanwhile
            killed.push(pid);
        }
        killed.retain(|pid| !has_ended(*pid));
        let Some(first) = killed.first() else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(EmbeddedError::Leftover { pid: first.as_raw(), dir: dir.to_owned() });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns true if at most the status of a killed process is left, which its parent may never
/// collect. While threads are ending, the process's ports are still in use.
fn has_ended(pid: Pid) -> bool {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let threads = fs::read_dir(process.join("task")).into_iter().flatten().count();
    let is_zombie = fs::read_to_string(process.join("stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')));
    threads == 0 || (threads == 1 && is_zombie)
}

/// Returns the running processes whose program is called `program` and whose working directory is
/// `dir`. The name excludes a shell in that folder.
fn processes_in(program: &str, dir: &Path) -> Vec<Pid> {
    let works_here = |process: &Path| {
        fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == dir)
            && fs::read_link(process.join("exe"))
                .is_ok_and(|exe| exe.file_name().is_some_and(|name| name == program))
    };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter(|(_, path)| works_here(path))
        .map(|(pid, _)| Pid::from_raw(pid))
        .collect()
}

/// Returns the end of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    last_lines(&text, LINES_MAX)
}

/// The most lines of a server's output in an error message.
pub(crate) const LINES_MAX: usize = 12;

/// Returns the last lines of a text that are not blank, for an error message.
pub fn last_lines(text: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}
