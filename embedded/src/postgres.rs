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

/// Time limit for a start. Recovery after a crash may have to read the whole log since the last
/// checkpoint.
const START_WAIT_MAX: Duration = Duration::from_secs(120);
const STOP_WAIT_MAX: Duration = Duration::from_secs(30);

/// The options of a private `PostgreSQL`.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// True if data must survive a crash of the *machine*. If false, nothing waits for the disk,
    /// but commits still survive a crash of the server.
    pub durable: bool,
    /// The most connections at a time.
    pub max_connections: u32,
    /// Further settings, by their names in `postgresql.conf`. They override the defaults.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { durable: true, max_connections: 200, settings: Vec::new() }
    }
}

impl PostgresOptions {
    /// Options for tests, whose data need not survive a power cut, and of which many may run at a
    /// time, each with its own pools. Autovacuum is off: tests end long before it is of use, and a
    /// role that is not a superuser can't drop a database in which one of its workers runs.
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

/// A private `PostgreSQL` cluster: one folder, one child process, and one database `plaudit`, owned
/// by the role `plaudit`. Dropping it stops the server.
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
    /// Starts the cluster in `dir`, creating one if there is none, and waits until it answers.
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
            // Another process was faster with the port. No client knows the port yet, so another
            // will do.
            if port::is_free(postgres.port) {
                return Err(error);
            }
            postgres.port = port::choose(&postgres.dir.join("port"))?;
        }
        postgres.create_role_and_database().await?;
        Ok(postgres)
    }

    /// Returns the URL of `database` for the role `plaudit`, which may create databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://plaudit:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Returns the URL of `database` for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        let password = &self.superuser_password;
        format!("postgres://postgres:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the port on 127.0.0.1. It survives `restart`, and also a new start if it is still
    /// free.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the id of the postmaster's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// Returns the folder of the cluster's files. It lies below the cluster's own folder, unless
    /// this process is root and must run the server as a user without access to that folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Stops the server in order: open transactions are rolled back. Does nothing if it is down.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::SIGINT, STOP_WAIT_MAX).await; // a "fast" shutdown
        }
    }

    /// Crashes the server: kills the postmaster and then all its processes, without warning.
    pub async fn kill(&mut self) -> Result<(), EmbeddedError> {
        self.process = None; // dropping kills
        owned_dir::kill_leftovers("postgres", &self.data_dir).await
    }

    /// Starts the server again on the same port. Stops it first if it runs.
    pub async fn restart(&mut self) -> Result<(), EmbeddedError> {
        self.stop().await;
        self.launch().await
    }

    /// Stops the server at once and removes all its data.
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
        // PostgreSQL removes a dead postmaster's file itself, unless another process now has that
        // pid. No process works in this folder any more, so the file is stale.
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
        let url = self.superuser_url("postgres");
        let log = self.dir.join("postgres.log");
        let process = self.process.insert(ServerProcess::spawn(
            &mut command,
            &log,
            Signal::SIGQUIT, // ends all backends at once; the next start recovers
        )?);

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
            if begun.elapsed() > START_WAIT_MAX {
                let (server, waited) = ("PostgreSQL", START_WAIT_MAX);
                break EmbeddedError::NotAnswering { server, waited, last, log };
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        self.process = None;
        Err(error)
    }

    /// Creates the role and the database. Runs at every start, since an earlier one may have ended
    /// between two of these statements.
    async fn create_role_and_database(&self) -> Result<(), EmbeddedError> {
        let failed = || EmbeddedError::database("set up the role `plaudit`");
        let url = self.superuser_url("postgres");
        let mut connection = PgConnection::connect(&url).await.map_err(failed())?;
        let exists = |what| format!("select exists (select from {what} = 'plaudit')");
        let role = exists("pg_roles where rolname");
        if !sqlx::query_scalar(&role).fetch_one(&mut connection).await.map_err(failed())? {
            // The password is hexadecimal and needs no quoting.
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
            process.end_blocking(Signal::SIGINT, STOP_WAIT_MAX);
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
