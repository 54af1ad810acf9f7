//! The program under test and its commands.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use plaudit_embedded::last_lines;
use tokio::process::Command;

use super::error::SoakError;

/// Time limit for a command. It may wait 30 s for a database that is down, and a rebuild takes a
/// while.
const COMMAND_MAX: Duration = Duration::from_secs(180);

/// The program under test, with the settings that all its processes share.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    /// The working directory, which has no `plaudit.toml` and no sources.
    dir: PathBuf,
    settings: Vec<(String, String)>,
}

impl Program {
    /// Describes the program at `path`.
    pub fn new(path: &Path, dir: &Path, settings: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = settings.iter().map(owned).collect();
        Self { path: path.to_owned(), dir: dir.to_owned(), settings }
    }

    /// Prepares a command. Its settings come from the environment, and only from the soak.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PLAUDIT_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(&self.dir).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        // Ctrl-C in a terminal reaches every process of its group. The soak decides what stops
        // when.
        command.process_group(0);
        command
    }

    /// Returns the program's path, the folder of its build profile, and its version.
    pub async fn described(&self) -> Result<String, SoakError> {
        let version = self.must(&["--version"]).await?;
        let folder = self.path.parent().and_then(Path::file_name).unwrap_or_default();
        let (path, folder) = (self.path.display(), folder.to_string_lossy());
        Ok(format!("{path} (built in {folder}): {}", version.trim()))
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output, SoakError> {
        let what = format!("run plaudit {}", arguments.join(" "));
        let output = self.command(arguments).output();
        match tokio::time::timeout(COMMAND_MAX, output).await {
            Ok(output) => output.map_err(SoakError::io(what)),
            Err(_) => Err(SoakError::Command {
                command: arguments.join(" "),
                status: format!("no end within {} s", COMMAND_MAX.as_secs()),
                output: String::new(),
            }),
        }
    }

    /// Runs a command that must succeed. Returns its output.
    pub async fn must(&self, arguments: &[&str]) -> Result<String, SoakError> {
        let output = self.run(arguments).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(SoakError::Command {
            command: arguments.join(" "),
            status: output.status.to_string(),
            output: said(&output),
        })
    }
}

/// Returns the end of a command's output.
pub fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    last_lines(&String::from_utf8_lossy(&text), 12)
}

/// Finds `plaudit` in the folder of `exe`, and so of the same build profile. It must be built:
/// `cargo test --workspace` and `dev/soak` do so first.
pub fn beside(exe: &Path) -> Result<PathBuf, SoakError> {
    let is_profile = |dir: &&Path| dir.file_name().is_some_and(|name| name != "deps");
    let path = exe.ancestors().skip(1).find(is_profile).unwrap_or(exe).join("plaudit");
    if path.is_file() {
        return Ok(path);
    }
    let command = "cargo build -p plaudit".to_owned();
    let output = format!("{} is missing: build it first", path.display());
    Err(SoakError::Command { command, status: "was not run".to_owned(), output })
}
