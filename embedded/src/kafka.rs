//! A private Apache Kafka broker.

pub(crate) mod admin;
mod programs;
mod properties;

use crate::owned_dir::{self, LINES_MAX, OwnedDir, last_lines};
use crate::server_process::ServerProcess;
use crate::{EmbeddedError, port};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Time limit for a start, which takes 3 to 6 s with a core to itself and many times that beside a
/// build.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
const STOP_WAIT_MAX: Duration = Duration::from_secs(20);

/// The options of a private Kafka.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// The Java heap in MiB.
    pub heap_mib: u32,
    /// True for a quick start at the price of slower code later: Java leaves out its slower, better
    /// compiler.
    pub quick_start: bool,
    /// Further settings, by their names in `server.properties`. They override the defaults.
    pub settings: Vec<(String, String)>,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { heap_mib: 512, quick_start: false, settings: Vec::new() }
    }
}

impl KafkaOptions {
    /// Options for tests, which wait for the start and send little.
    #[must_use]
    pub fn scratch() -> Self {
        Self { quick_start: true, ..Self::default() }
    }

    /// Adds a setting, by its name in `server.properties`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Returns Java and the folder of Kafka's jars that a broker in `dir` would use.
pub fn kafka_programs(dir: &Path) -> Result<(PathBuf, PathBuf), EmbeddedError> {
    Ok((programs::java(), programs::libs(dir)?))
}

/// A private Kafka: one folder and one child process, which is broker and controller. Dropping it
/// stops the process.
#[derive(Debug)]
pub struct Kafka {
    dir: OwnedDir,
    java: PathBuf,
    libs: PathBuf,
    options: KafkaOptions,
    broker_port: u16,
    controller_port: u16,
    process: Option<ServerProcess>,
}

impl Kafka {
    /// Starts the broker in `dir`, creating one if there is none, and waits until it answers.
    pub async fn start(dir: &Path, options: KafkaOptions) -> Result<Self, EmbeddedError> {
        let dir = OwnedDir::claim(dir)?;
        let java = programs::java();
        let libs = programs::libs(dir.path())?;
        owned_dir::kill_leftovers("java", dir.path()).await?;
        let broker_port = port::keep_or_choose(&dir.join("port"))?;
        let controller_port = port::keep_or_choose(&dir.join("port.controller"))?;
        let mut kafka =
            Self { dir, java, libs, options, broker_port, controller_port, process: None };
        kafka.write_properties()?;
        kafka.format_if_new().await?;
        while let Err(error) = kafka.launch().await {
            // Another process was faster with a port. No client knows the ports yet, so others will
            // do.
            if port::is_free(kafka.broker_port) && port::is_free(kafka.controller_port) {
                return Err(error);
            }
            kafka.broker_port = port::choose(&kafka.dir.join("port"))?;
            kafka.controller_port = port::choose(&kafka.dir.join("port.controller"))?;
            kafka.write_properties()?;
        }
        Ok(kafka)
    }

    /// Returns the value for a client's `bootstrap.servers`. It survives `restart`, and also a new
    /// start if the port is still free.
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.broker_port)
    }

    /// Returns the id of the broker's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Stops the broker in order. Does nothing if it is down.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::SIGTERM, STOP_WAIT_MAX).await;
        }
    }

    /// Crashes the broker: kills its process without warning.
    pub async fn kill(&mut self) -> Result<(), EmbeddedError> {
        self.process = None; // dropping kills
        owned_dir::kill_leftovers("java", self.dir.path()).await
    }

    /// Starts the broker again on the same port. Stops it first if it runs.
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.stop().await;
        self.launch().await
    }

    /// Stops the broker at once and removes all its data.
    pub async fn discard(mut self) -> Result<(), EmbeddedError> {
        self.kill().await?;
        let dir = self.dir.path();
        fs::remove_dir_all(dir).map_err(EmbeddedError::file("remove", dir))
    }

    /// Creates a topic and waits until its partitions have leaders.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<(), EmbeddedError> {
        admin::create_topic(&self.brokers(), name, partitions).await
    }

    /// Deletes a topic and waits until it is gone.
    pub async fn delete_topic(&self, name: &str) -> Result<(), EmbeddedError> {
        admin::delete_topic(&self.brokers(), name).await
    }

    /// Removes the records of a partition whose offset is below `before_offset`, as retention does.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before_offset: i64,
    ) -> Result<(), EmbeddedError> {
        admin::delete_records(&self.brokers(), topic, partition, before_offset).await
    }

    fn properties_file(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    fn write_properties(&self) -> Result<(), EmbeddedError> {
        let data_dir = self.dir.join("data");
        let text = properties::server(
            &data_dir,
            self.broker_port,
            self.controller_port,
            &self.options.settings,
        );
        for (file, text) in [
            (self.properties_file(), text),
            (self.dir.join("log4j2.properties"), properties::logging(&self.dir.join("kafka.log"))),
        ] {
            fs::write(&file, text).map_err(EmbeddedError::file("write", &file))?;
        }
        Ok(())
    }

    /// Formats a new data folder. `meta.properties` is the last file that this writes.
    async fn format_if_new(&self) -> Result<(), EmbeddedError> {
        let data_dir = self.dir.join("data");
        if data_dir.join("meta.properties").exists() {
            return Ok(());
        }
        let mut command = self.java_command();
        command.args(["kafka.tools.StorageTool", "format"]);
        // Any 16 bytes in base64 will do, since nothing else is ever part of this cluster.
        command.args(["--cluster-id", "cGxhdWRpdC1lbWJlZGRlZA", "--ignore-formatted", "--config"]);
        // In a process group of its own, like the broker: only this process reacts to Ctrl-C.
        command.arg(self.properties_file()).stdin(Stdio::null()).process_group(0);
        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
        let program = self.java.display().to_string();
        let output = output.map_err(|source| EmbeddedError::Run { program, source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(EmbeddedError::Prepare {
            program: "Kafka's StorageTool",
            dir: data_dir,
            output: last_lines(&String::from_utf8_lossy(&said), LINES_MAX),
        })
    }

    async fn launch(&mut self) -> Result<(), EmbeddedError> {
        owned_dir::kill_leftovers("java", self.dir.path()).await?;
        let mut command = self.java_command();
        command.arg("kafka.Kafka").arg(self.properties_file());
        let output = self.dir.join("kafka.out");
        // Killed if this process dies: no process would wait for an orderly end, and Kafka's log is
        // made for crashes.
        let process =
            self.process.insert(ServerProcess::spawn(&mut command, &output, Signal::SIGKILL)?);

        let begun = Instant::now();
        let error = loop {
            if process.has_ended() {
                // The log has the reason, or the output if Java itself could not start.
                let tail = [owned_dir::tail(&output), owned_dir::tail(&self.dir.join("kafka.log"))];
                let (server, tail) = ("Kafka", tail.join("\n"));
                break EmbeddedError::EndedEarly { server, log: output, tail };
            }
            let last = match admin::answers(self.broker_port).await {
                Ok(()) => return Ok(()),
                Err(last) => last,
            };
            if begun.elapsed() > START_WAIT_MAX {
                let (server, waited) = ("Kafka", START_WAIT_MAX);
                let log = self.dir.join("kafka.log");
                break EmbeddedError::NotAnswering { server, waited, last, log };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        self.process = None;
        Err(error)
    }

    fn java_command(&self) -> Command {
        let mut command = Command::new(&self.java);
        // A later start recognises this process by its working directory.
        command.current_dir(self.dir.path());
        command.arg(format!("-Xmx{}m", self.options.heap_mib));
        // For one small heap, the serial collector needs no extra threads and the least memory.
        command.args(["-XX:+UseSerialGC", "-Djava.awt.headless=true"]);
        if self.options.quick_start {
            command.arg("-XX:TieredStopAtLevel=1");
        }
        let logging = self.dir.join("log4j2.properties");
        command.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        command.arg("-cp").arg(self.libs.join("*"));
        command
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end_blocking(Signal::SIGTERM, STOP_WAIT_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScratchDir;

    #[tokio::test]
    async fn a_broker_that_outlived_its_owner_is_replaced() {
        let scratch = ScratchDir::create("kafka-leftover").unwrap();
        let dir = scratch.path().join("kafka");
        let mut first = Kafka::start(&dir, KafkaOptions::scratch()).await.unwrap();
        let (pid, brokers) = (first.pid(), first.brokers());
        std::mem::forget(first.process.take()); // as if its watchdog had been killed with its owner
        drop(first);

        let second = Kafka::start(&dir, KafkaOptions::scratch()).await.unwrap();
        assert_ne!(second.pid(), pid);
        assert_eq!(second.brokers(), brokers);
    }
}
