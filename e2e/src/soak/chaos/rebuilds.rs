//! Rebuilds of read models, during other faults and when they are killed themselves.

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

/// Time for which a rebuild may fail for want of room in its last step, or because a killed one
/// still holds the lock.
const RETRY_MAX: Duration = Duration::from_secs(180);
/// Attempts to catch a rebuild before it ends.
const CATCHES: u32 = 20;
const GLANCE: Duration = Duration::from_millis(5);

/// Plaudit's messages for failures that may pass.
const PASSING: [&str; 2] =
    ["left no room to put it in place", "is being rebuilt by another process"];

/// The rebuilds of a soak, one at a time.
pub struct Rebuilds {
    program: Program,
    api: Arc<Api>,
    findings: Arc<Findings>,
    /// The number of crashes of PostgreSQL. A crash excuses the failure of a running rebuild.
    crashes: Arc<AtomicU64>,
    running: Option<JoinHandle<()>>,
}

impl Rebuilds {
    /// Starts without a rebuild.
    pub fn new(program: &Program, api: &Arc<Api>, findings: &Arc<Findings>) -> Self {
        let (program, api, findings) = (program.clone(), Arc::clone(api), Arc::clone(findings));
        Self { program, api, findings, crashes: Arc::default(), running: None }
    }

    /// Counts a crash of PostgreSQL. Call it before the crash.
    pub fn excuse_a_crash(&self) {
        self.crashes.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits for the running rebuild, if any.
    pub async fn finish(&mut self) -> Result<(), SoakError> {
        match self.running.take() {
            Some(running) => running.await.map_err(|error| SoakError::Broken(error.to_string())),
            None => Ok(()),
        }
    }

    /// Abandons the running rebuild, if any.
    pub fn abort(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }

    /// Starts a rebuild in the background. If a crash interrupts it, the same command continues it.
    /// If `begun_at` is given, the rebuild was started before at that moment and must not start
    /// from scratch.
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
                    || (is_passing && begun.elapsed() < RETRY_MAX);
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

    /// Kills a rebuild midway, and continues it in the background with the same command.
    pub async fn kill_midway(&mut self, name: &'static str) -> Result<(), SoakError> {
        self.finish().await?;
        for _ in 0..CATCHES {
            let mut command = self.program.command(&["projections", "rebuild", name]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let what = || SoakError::io(format!("rebuild {name}"));
            let mut process = command.spawn().map_err(what())?;
            let is_caught = self.pause(name, &mut process).await?;
            process.kill().await.map_err(what())?;
            if is_caught {
                let begun_at = status(&self.api, name).await.map_err(SoakError::Broken)?;
                self.start(name, Some(begun_at["started_at"].clone()));
                return Ok(());
            }
        }
        Err(SoakError::Broken(format!("no rebuild of {name} was ever caught in its middle")))
    }

    /// Pauses a rebuild, so that it can't end before it is killed. Returns false if it has ended
    /// already.
    async fn pause(&self, name: &str, process: &mut Child) -> Result<bool, SoakError> {
        let begun = Instant::now();
        let what = || SoakError::io(format!("watch the rebuild of {name}"));
        while process.try_wait().map_err(what())?.is_none() {
            let path = ["v1", "projections", name, "rebuild", "pause"];
            if let Ok((200, _)) = self.api.post_as_operator(&path).await {
                return Ok(true);
            }
            if begun.elapsed() > RETRY_MAX {
                return Err(SoakError::Broken(format!("the rebuild of {name} never began")));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(false)
    }
}

/// Returns the status of the last rebuild, as soon as an instance can report it.
async fn status(api: &Api, name: &str) -> Result<Value, String> {
    let begun = Instant::now();
    loop {
        match api.get_as_operator(&["v1", "projections", name, "rebuild"], &[]).await {
            Ok((200, status)) => return Ok(status),
            other if begun.elapsed() > RETRY_MAX => {
                return Err(format!("the rebuild of {name} can't be read: {other:?}"));
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
