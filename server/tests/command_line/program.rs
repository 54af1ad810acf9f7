//! The program under test, and its input.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plaudit_embedded::{test_cluster, waiting};

/// Time limit for every wait. Several builds and test programs may share two cores.
pub const WAIT_MAX: Duration = Duration::from_secs(120);

const GLANCE: Duration = Duration::from_millis(50);

/// Runs the program with these variables and no others of Plaudit.
pub fn plaudit(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments, variables).output().unwrap()
}

pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plaudit"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLAUDIT_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied());
    command
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(name)
}

pub fn sample_tasks() -> PathBuf {
    sample("tasks.yaml")
}

pub fn sample_sources() -> PathBuf {
    sample("sources.yaml")
}

pub fn scratch(name: &str, content: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test_cluster::unique_name(name));
    fs::write(&path, content).unwrap();
    path
}

pub async fn migrated() -> String {
    let url = test_cluster::create_database("cli").await;
    let done = plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    url
}

/// Repeats a question until there is an answer. Panics at the time limit.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    waiting::eventually(WAIT_MAX, what, ask).await
}

/// A running program, with its output so far. Killed when dropped, which happens in a failed test.
pub struct Running {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().unwrap(), &said);
        collect(child.stderr.take().unwrap(), &said);
        Self { child, said }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// Waits for the first line that contains `part`.
    pub async fn line_with(&mut self, part: &str) -> String {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(line) = self.said().into_iter().find(|line| line.contains(part)) {
                return line;
            }
            let all = || self.said().join("\n");
            assert!(ended.is_none(), "ended with {ended:?} without {part:?}:\n{}", all());
            assert!(Instant::now() < deadline, "{part:?} was not said:\n{}", all());
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Its descendants, each with its start time.
    pub fn descendants(&self) -> BTreeMap<u32, u64> {
        let all = processes();
        let mut found = BTreeMap::new();
        let mut parents = vec![self.child.id()];
        while let Some(parent) = parents.pop() {
            for (pid, (ppid, began)) in &all {
                if *ppid == parent && found.insert(*pid, *began).is_none() {
                    parents.push(*pid);
                }
            }
        }
        found
    }

    pub async fn end(&mut self, signal: Signal) -> ExitStatus {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        self.ended().await
    }

    /// Waits until the program has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the end of the program", async || child.try_wait().unwrap()).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, said: &Arc<Mutex<Vec<String>>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            said.lock().unwrap().push(line);
        }
    });
}

/// Waits until all these processes have ended.
pub async fn gone(processes_then: BTreeMap<u32, u64>) {
    eventually("the end of all that was started", async || {
        let now = processes();
        let left = |(pid, began): (&u32, &u64)| now.get(pid).is_some_and(|(_, at)| at == began);
        (!processes_then.iter().any(left)).then_some(())
    })
    .await;
}

/// Every process but zombies, with its parent and its start time.
fn processes() -> BTreeMap<u32, (u32, u64)> {
    let read = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // proc_pid_stat(5): state, parent and, as the 22nd field, the start, behind "(name) ".
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        (fields[0] != "Z").then_some(())?;
        Some((pid, (fields[1].parse().ok()?, fields[19].parse().ok()?)))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(read).collect()
}
