//! Read models that are built anew, while other things go wrong and when they are killed themselves.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::soak::error::SoakError;
use crate::soak::findings::Findings;
use crate::soak::http::Api;
use crate::soak::program::{Program, said};

/// How long a rebuild may find no room for its last step, or the lock of a killed one still taken.
const PATIENCE: Duration = Duration::from_secs(180);
/// How often a rebuild may have ended before it could be caught in the middle.
const CATCHES: u32 = 20;
const GLANCE: Duration = Duration::from_millis(5);

/// What plaudit says of a failure that passes.
const PASSING: [&str; 2] =
    ["left no room to put it in place", "is being rebuilt by another process"];

/// The rebuilds of a soak, one at a time.
pub struct Rebuilds {
    program: Program,
    api: Arc<Api>,
    findings: Arc<Findings>,
    /// Crashes of PostgreSQL: they excuse a rebuild that was under way.
    crashes: Arc<AtomicU64>,
    running: Option<JoinHandle<()>>,
}

impl Rebuilds {
    /// None yet.
    pub fn new(program: &Program, api: &Arc<Api>, findings: &Arc<Findings>) -> Self {
        let (program, api, findings) = (program.clone(), Arc::clone(api), Arc::clone(findings));
        Self { program, api, findings, crashes: Arc::default(), running: None }
    }

    /// To be called before PostgreSQL is crashed.
    pub fn excuse_a_crash(&self) {
        self.crashes.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits for the one that is under way.
    pub async fn finish(&mut self) -> Result<(), SoakError> {
        match self.running.take() {
            Some(running) => running.await.map_err(|error| SoakError::Broken(error.to_string())),
            None => Ok(()),
        }
    }

    /// Forgets the one that is under way.
    pub fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    /// Starts one in the background; what a crash interrupts goes on with the same command. One that
    /// was begun before, at the moment named, must not begin anew.
    pub fn start(&mut self, name: &'static str, begun_at: Option<Value>) {
        let (program, api) = (self.program.clone(), Arc::clone(&self.api));
        let (findings, crashes) = (Arc::clone(&self.findings), Arc::clone(&self.crashes));
        self.running = Some(tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                let crashes_before = crashes.load(Ordering::SeqCst);
                let what = match program.run(&["projections", "rebuild", name]).await {
                    Ok(output) if output.status.success() => break,
                    Ok(output) => format!("{name}: {}: {}", output.status, said(&output)),
                    Err(error) => format!("{name}: {error}"),
                };
                tracing::info!("soak: {what}");
                let is_passing = PASSING.iter().any(|text| what.contains(text));
                let is_excused = crashes.load(Ordering::SeqCst) != crashes_before
                    || (is_passing && begun.elapsed() < PATIENCE);
                if !is_excused {
                    return findings.add("rebuild failed", what);
                }
            }
            tracing::info!("soak: {name} rebuilt in {:.1} s", begun.elapsed().as_secs_f64());
            if let Some(begun_at) = begun_at {
                match status(&api, name).await {
                    Ok(status) if status["started_at"] == begun_at => {}
                    other => {
                        let what = format!("{name}: begun at {begun_at}, then {other:?}");
                        findings.add("a killed rebuild did not go on", what);
                    }
                }
            }
        }));
    }

    /// Kills a rebuild in its middle, and lets the same command go on in the background.
    pub async fn kill_midway(&mut self, name: &'static str) -> Result<(), SoakError> {
        self.finish().await?;
        for _ in 0..CATCHES {
            let mut command = self.program.command(&["projections", "rebuild", name]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let what = || SoakError::io(format!("rebuild {name}"));
            let mut process = command.spawn().map_err(what())?;
            let is_caught = self.halt(name, &mut process).await?;
            process.kill().await.map_err(what())?;
            if is_caught {
                let begun_at = status(&self.api, name).await.map_err(SoakError::Broken)?;
                self.start(name, Some(begun_at["started_at"].clone()));
                return Ok(());
            }
        }
        Err(SoakError::Broken(format!("no rebuild of {name} was ever caught in its middle")))
    }

    /// Lets a rebuild halt, so that it can't end before it is killed. False if it ended before.
    async fn halt(&self, name: &str, process: &mut Child) -> Result<bool, SoakError> {
        let begun = Instant::now();
        let what = || SoakError::io(format!("watch the rebuild of {name}"));
        while process.try_wait().map_err(what())?.is_none() {
            let path = ["v1", "projections", name, "rebuild", "pause"];
            if let Ok((200, _)) = self.api.post_as_operator(&path).await {
                return Ok(true);
            }
            if begun.elapsed() > PATIENCE {
                return Err(SoakError::Broken(format!("the rebuild of {name} never began")));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(false)
    }
}

/// What plaudit says of the last rebuild, once one of the instances can.
async fn status(api: &Api, name: &str) -> Result<Value, String> {
    let begun = Instant::now();
    loop {
        match api.get_as_operator(&["v1", "projections", name, "rebuild"], &[]).await {
            Ok((200, status)) => return Ok(status),
            other if begun.elapsed() > PATIENCE => {
                return Err(format!("the rebuild of {name} can't be read: {other:?}"));
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
