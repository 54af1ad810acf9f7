//! Errors of the private servers. Each says what to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The reason why a private server is not available. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No folder contains `initdb` and `postgres`.
    #[error(
        "PostgreSQL's programs are not in {searched}; run `dev/install`, or name their folder in \
         EMBEDDED_POSTGRES_BIN"
    )]
    PostgresMissing {
        /// The folders that were searched.
        searched: String,
    },
    /// The data was written by a major version that is not installed.
    #[error(
        "the data in {dir} was written by PostgreSQL {written_by}, but {found} is what is \
         installed; install PostgreSQL {written_by}, or remove the folder to start with an empty database",
        dir = dir.display()
    )]
    PostgresVersion {
        /// The cluster's folder.
        dir: PathBuf,
        /// The major version that wrote it.
        written_by: String,
        /// The folder of the programs that are installed.
        found: String,
    },
    /// This process runs as root, which `PostgreSQL` refuses, and can't run it as any other user.
    #[error(
        "PostgreSQL refuses to run as root, and no other user can be had: {reason}; run this as \
         an ordinary user, or allow user namespaces"
    )]
    NoOrdinaryUser {
        /// The users that were tried, and the result.
        reason: String,
    },
    /// No folder contains Kafka's jars.
    #[error(
        "Kafka's jars are not in {searched}; run `dev/install`, or name their folder in \
         EMBEDDED_KAFKA_LIBS"
    )]
    KafkaMissing {
        /// The folders that were searched.
        searched: String,
    },
    /// Another process runs a server in the same folder.
    #[error(
        "{dir} is in use by another process{pid}; stop that one first, or use another folder",
        dir = dir.display(),
        pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The process that uses the folder, if its id could be read.
        pid: Option<u32>,
    },
    /// A process of an earlier run does not end.
    #[error(
        "process {pid} of an earlier run still works in {dir} and does not end; end it by hand",
        dir = dir.display()
    )]
    Leftover {
        /// The id of the process.
        pid: i32,
        /// The working directory of the process.
        dir: PathBuf,
    },
    /// A program could not be started.
    #[error("could not run {program}: {source}; run `dev/install`")]
    Run {
        /// The program.
        program: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The program that prepares a new data folder failed.
    #[error("{program} could not prepare {dir}: {output}", dir = dir.display())]
    Prepare {
        /// `initdb` or Kafka's `StorageTool`.
        program: &'static str,
        /// The folder that it was to prepare.
        dir: PathBuf,
        /// The end of its output.
        output: String,
    },
    /// The server ended during its start.
    #[error("{server} ended while starting, see {log}; it said last: {tail}", log = log.display())]
    EndedEarly {
        /// `PostgreSQL` or `Kafka`.
        server: &'static str,
        /// The server's log.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The server runs, but does not answer.
    #[error(
        "{server} has not answered within {} s ({last}); see {log}, and try again on a machine \
         with less to do",
        waited.as_secs(),
        log = log.display()
    )]
    NotAnswering {
        /// `PostgreSQL` or `Kafka`.
        server: &'static str,
        /// The time limit.
        waited: Duration,
        /// The result of the last attempt.
        last: String,
        /// The server's log.
        log: PathBuf,
    },
    /// No port in the range is free.
    #[error("no free port on 127.0.0.1 among {tried}; stop what uses them")]
    NoFreePort {
        /// The range of ports that was tried.
        tried: String,
    },
    /// A file or folder of a server can't be used.
    #[error("could not {action} {path}: {source}; check its owner and the free space", path = path.display())]
    File {
        /// The intended action, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The private `PostgreSQL` refused a statement.
    #[error("PostgreSQL refused to {action}: {source}")]
    Database {
        /// The intended action, as a verb.
        action: String,
        /// The error of the database.
        source: sqlx::Error,
    },
    /// The private Kafka refused a request.
    #[error("Kafka refused to {action}: {reason}")]
    Broker {
        /// The intended action, as a verb.
        action: String,
        /// The reason that Kafka gave.
        reason: String,
    },
}

impl EmbeddedError {
    /// Returns a mapper for `map_err` on file operations.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// Returns a mapper for `map_err` on statements.
    pub(crate) fn database(action: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let action = action.into();
        move |source| Self::Database { action, source }
    }
}
