//! Why a private server could not be had, and what to do about it.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a private server could not be had. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No folder holds `initdb` and `postgres`.
    #[error(
        "PostgreSQL's programs are not in {searched}; run `dev/install`, or name their folder in \
         EMBEDDED_POSTGRES_BIN"
    )]
    PostgresMissing {
        /// The folders that were tried.
        searched: String,
    },
    /// The data was written by a major version that is not installed.
    #[error(
        "the data in {dir} was written by PostgreSQL {written_by}, but {found} is what is \
         installed; install PostgreSQL {written_by}, or remove the folder to begin anew",
        dir = dir.display()
    )]
    PostgresVersion {
        /// The cluster's folder.
        dir: PathBuf,
        /// The major version that wrote it.
        written_by: String,
        /// The folder of the programs that were found instead.
        found: String,
    },
    /// We are root, which `PostgreSQL` refuses, and nothing else can be become.
    #[error(
        "PostgreSQL refuses to run as root, and no other user can be had: {reason}; run this as \
         an ordinary user, or allow user namespaces"
    )]
    NoOrdinaryUser {
        /// What was tried and how it ended.
        reason: String,
    },
    /// No folder holds Kafka's jars.
    #[error(
        "Kafka's jars are not in {searched}; run `dev/install`, or name their folder in \
         EMBEDDED_KAFKA_LIBS"
    )]
    KafkaMissing {
        /// The folders that were tried.
        searched: String,
    },
    /// Another process has a server on the same folder.
    #[error(
        "{dir} is in use by another process{pid}; stop that one first, or use another folder",
        dir = dir.display(),
        pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// Who has it, where that could be read.
        pid: Option<u32>,
    },
    /// A process of an earlier run can't be ended.
    #[error(
        "process {pid} of an earlier run still works in {dir} and does not end; end it by hand",
        dir = dir.display()
    )]
    Leftover {
        /// The process.
        pid: i32,
        /// Where it works.
        dir: PathBuf,
    },
    /// A program could not be run at all.
    #[error("could not run {program}: {source}; run `dev/install`")]
    Run {
        /// The program.
        program: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The program that prepares a new data folder failed.
    #[error("{program} could not prepare {dir}: {output}", dir = dir.display())]
    Prepare {
        /// `initdb` or Kafka's `StorageTool`.
        program: &'static str,
        /// The folder that it should have prepared.
        dir: PathBuf,
        /// The end of what it said.
        output: String,
    },
    /// The server ended while it should have started.
    #[error("{server} ended while starting, see {log}; it said last: {tail}", log = log.display())]
    EndedEarly {
        /// `PostgreSQL` or `Kafka`.
        server: &'static str,
        /// All that it said.
        log: PathBuf,
        /// The end of that.
        tail: String,
    },
    /// The server runs and does not answer.
    #[error(
        "{server} has not answered within {} s ({last}); see {log}, and try again on a machine \
         with less to do",
        waited.as_secs(),
        log = log.display()
    )]
    NotAnswering {
        /// `PostgreSQL` or `Kafka`.
        server: &'static str,
        /// How long it was given.
        waited: Duration,
        /// How the last attempt ended.
        last: String,
        /// What the server said.
        log: PathBuf,
    },
    /// No port is free.
    #[error("no free port on 127.0.0.1 among {tried}; stop what uses them")]
    NoFreePort {
        /// Which ports were tried.
        tried: String,
    },
    /// A file or folder of ours can't be used.
    #[error("could not {action} {path}: {source}; check its owner and the free space", path = path.display())]
    File {
        /// What was wanted, as a verb.
        action: &'static str,
        /// Of which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The private `PostgreSQL` refused a statement of ours.
    #[error("PostgreSQL refused to {action}: {source}")]
    Database {
        /// What was wanted, as a verb.
        action: String,
        /// What it said.
        source: sqlx::Error,
    },
    /// The private Kafka refused a request of ours.
    #[error("Kafka refused to {action}: {reason}")]
    Broker {
        /// What was wanted, as a verb.
        action: String,
        /// What it said.
        reason: String,
    },
}

impl EmbeddedError {
    /// For `map_err` on file operations.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err` on statements.
    pub(crate) fn database(action: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let action = action.into();
        move |source| Self::Database { action, source }
    }
}
