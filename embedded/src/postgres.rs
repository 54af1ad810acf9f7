//! A private `PostgreSQL` cluster.

mod cluster;
mod programs;

use crate::account::Account;
use crate::owned_dir::{self, OwnedDir};
use crate::server_process::ServerProcess;
use crate::{EmbeddedError, port};
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Recovery after a crash may have to read all log since the last checkpoint.
const START_PATIENCE: Duration = Duration::from_secs(120);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How a private `PostgreSQL` runs.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Whether data survives a crash of the *machine*. Without it nothing waits for the disk; what
    /// was committed still survives a crash of the server.
    pub durable: bool,
    /// Connections at a time.
    pub max_connections: u32,
    /// Further settings, by the names of `postgresql.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { durable: true, max_connections: 200, settings: Vec::new() }
    }
}

impl PostgresOptions {
    /// For tests, whose data nobody wants back after a power cut. Many of them may run at a time, each
    /// with pools of its own. No autovacuum: they are done long before it is of use, and a role that
    /// is no superuser can't drop a database that a worker of it is in.
    #[must_use]
    pub fn scratch() -> Self {
        let scratch = Self { durable: false, max_connections: 400, ..Self::default() };
        scratch.with("autovacuum", "off")
    }

    /// Adds a setting, by its name in `postgresql.conf`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    fn as_settings(&self) -> Vec<(String, String)> {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut settings = vec![
            ("max_connections".to_owned(), self.max_connections.to_string()),
            ("shared_buffers".to_owned(), "128MB".to_owned()),
            ("timezone".to_owned(), "UTC".to_owned()),
        ];
        if !self.durable {
            // `synchronous_commit` stays on: without it a killed *server* loses commits too, and
            // tests kill servers.
            settings.extend([("fsync", "off"), ("full_page_writes", "off")].map(owned));
        }
        settings.extend(self.settings.iter().cloned());
        settings
    }
}

/// A private `PostgreSQL` cluster: one folder, one child process, one database `plaudit` that the role
/// `plaudit` owns. Stopped when dropped.
#[derive(Debug)]
pub struct Postgres {
    dir: OwnedDir,
    data_dir: PathBuf,
    programs: PathBuf,
    account: Account,
    options: PostgresOptions,
    port: u16,
    superuser_password: String,
    password: String,
    process: Option<ServerProcess>,
}

impl Postgres {
    /// Starts the cluster in `dir`, or creates one there, and waits until it answers.
    pub async fn start(dir: &Path, options: PostgresOptions) -> Result<Self, EmbeddedError> {
        let dir = OwnedDir::claim(dir)?;
        let account = Account::find()?;
        let data_dir = cluster::data_dir(&dir, &account)?;
        let programs = programs::find(&data_dir)?;
        owned_dir::kill_leftovers("postgres", &data_dir).await?;
        let superuser_password = cluster::password(&dir.join("password.postgres"))?;
        let password = cluster::password(&dir.join("password.plaudit"))?;
        let initdb = programs.join("initdb");
        let durable = options.durable;
        cluster::create_if_new(&data_dir, &initdb, &account, &superuser_password, durable).await?;
        let port = port::keep_or_choose(&dir.join("port"))?;
        let mut postgres = Self {
            dir,
            data_dir,
            programs,
            account,
            options,
            port,
            superuser_password,
            password,
            process: None,
        };
        while let Err(error) = postgres.launch().await {
            // Somebody else was faster with the port. Nobody knows ours yet, so take another.
            if port::is_free(postgres.port) {
                return Err(error);
            }
            postgres.port = port::choose(&postgres.dir.join("port"))?;
        }
        postgres.create_role_and_database().await?;
        Ok(postgres)
    }

    /// Where `database` is, for the role `plaudit`, which may create databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://plaudit:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Where `database` is, for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        let password = &self.superuser_password;
        format!("postgres://postgres:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1. It stays over `restart`, and over a new start if it is still free.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Where the cluster's files are. Below the folder it was started in, unless we are root and may
    /// only run it as a user who can't get there.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops it in an orderly way: open transactions are rolled back. Does nothing if it is down.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::SIGINT, STOP_PATIENCE).await; // a "fast" shutdown
        }
    }

    /// Crashes it: kills the postmaster and then all its processes, at once and unasked.
    pub async fn kill(&mut self) -> Result<(), EmbeddedError> {
        self.process = None; // dropping kills
        owned_dir::kill_leftovers("postgres", &self.data_dir).await
    }

    /// Starts it again on the same port, stopping it first if it runs.
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.stop().await;
        self.launch().await
    }

    /// Stops it at once and removes all its data.
    pub async fn discard(mut self) -> Result<(), EmbeddedError> {
        self.kill().await?;
        let remove =
            |dir: &Path| std::fs::remove_dir_all(dir).map_err(EmbeddedError::file("remove", dir));
        if !self.data_dir.starts_with(self.dir.path()) {
            remove(self.data_dir.parent().unwrap_or(&self.data_dir))?; // made for it alone
        }
        remove(self.dir.path())
    }

    async fn launch(&mut self) -> Result<(), EmbeddedError> {
        owned_dir::kill_leftovers("postgres", &self.data_dir).await?;
        // PostgreSQL removes the file of a dead postmaster by itself, but not if that pid has
        // meanwhile been given to another process. Nobody works in this folder: it is stale.
        let _ = std::fs::remove_file(self.data_dir.join("postmaster.pid"));

        let mut command = self.account.command(self.programs.join("postgres"));
        command.current_dir(&self.data_dir).arg("-D").arg(&self.data_dir);
        let listen = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            // A socket's path may have 107 bytes, and folders of tests are deeper than that.
            ("unix_socket_directories", String::new()),
        ];
        for (name, value) in listen {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in self.options.as_settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let log = self.dir.join("postgres.log");
        let process = self.process.insert(ServerProcess::spawn(
            &mut command,
            &log,
            Signal::SIGQUIT, // ends all backends at once; the next start recovers
        )?);

        let url = format!(
            "postgres://postgres:{}@127.0.0.1:{}/postgres",
            self.superuser_password, self.port
        );
        let begun = Instant::now();
        let error = loop {
            let last = match PgConnection::connect(&url).await {
                Ok(connection) => {
                    let _ = connection.close().await;
                    return Ok(());
                }
                Err(error) => error.to_string(),
            };
            if process.has_ended() {
                let tail = owned_dir::tail(&log);
                break EmbeddedError::EndedEarly { server: "PostgreSQL", log, tail };
            }
            if begun.elapsed() > START_PATIENCE {
                let (server, waited) = ("PostgreSQL", START_PATIENCE);
                break EmbeddedError::NotAnswering { server, waited, last, log };
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        self.process = None;
        Err(error)
    }

    /// Repeated at every start: the one before may have ended between two of these statements.
    async fn create_role_and_database(&self) -> Result<(), EmbeddedError> {
        let failed = || EmbeddedError::database("set up the role `plaudit`");
        let url = self.superuser_url("postgres");
        let mut connection = PgConnection::connect(&url).await.map_err(failed())?;
        let exists = |what| format!("select exists (select from {what} = 'plaudit')");
        let role = exists("pg_roles where rolname");
        if !sqlx::query_scalar(&role).fetch_one(&mut connection).await.map_err(failed())? {
            // The password is hexadecimal: nothing to quote.
            let create = format!("create role plaudit login createdb password '{}'", self.password);
            sqlx::query(&create).execute(&mut connection).await.map_err(failed())?;
        }
        let database = exists("pg_database where datname");
        if !sqlx::query_scalar(&database).fetch_one(&mut connection).await.map_err(failed())? {
            let create = "create database plaudit owner plaudit";
            sqlx::query(create).execute(&mut connection).await.map_err(failed())?;
        }
        let _ = connection.close().await;
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end_blocking(Signal::SIGINT, STOP_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ScratchDir;

    #[tokio::test]
    async fn a_server_that_outlived_its_owner_is_replaced() {
        let scratch = ScratchDir::create("postgres-leftover").unwrap();
        let dir = scratch.path().join("postgres");
        let mut first = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
        let (pid, port) = (first.pid(), first.port());
        std::mem::forget(first.process.take()); // as if its watchdog had been killed with its owner
        drop(first);

        let second = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
        assert_ne!(second.pid(), pid);
        assert_eq!(second.port(), port);
    }
}
