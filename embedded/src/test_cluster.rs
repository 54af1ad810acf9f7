//! Servers that all tests share, and databases and topics that each test has for itself.
//!
//! All tests of a run share one `PostgreSQL` and one Kafka: those of `plaudit-embedded run`, or
//! else servers that the test process starts for itself. No two tests share a database or a topic.

use crate::fault_proxy::FaultProxy;
use crate::kafka::admin;
use crate::{EmbeddedError, Kafka, KafkaOptions, Postgres, PostgresOptions, ScratchDir};
use sqlx::{Connection, PgConnection};
use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::OnceCell;

/// Names the variable with the maintenance database's URL, for a role that may create databases.
pub const DATABASE_URL: &str = "EMBEDDED_DATABASE_URL";
/// Names the variable with the brokers.
pub const KAFKA_BROKERS: &str = "EMBEDDED_KAFKA_BROKERS";

/// Returns the URL of the maintenance database, from which tests create their own.
///
/// # Panics
///
/// If no `PostgreSQL` can be started. No test can run without it, and the message says what to do.
pub async fn database_url() -> String {
    static OWN: OnceCell<(ScratchDir, Postgres)> = OnceCell::const_new();
    if let Ok(url) = env::var(DATABASE_URL) {
        return url;
    }
    let start = async || {
        let dir = ScratchDir::create("postgres")?;
        let postgres =
            Postgres::start(&dir.path().join("postgres"), PostgresOptions::scratch()).await?;
        Ok((dir, postgres))
    };
    or_panic(OWN.get_or_try_init(start).await).1.url("plaudit")
}

/// Returns the value for a client's `bootstrap.servers`.
///
/// # Panics
///
/// If no Kafka can be started.
pub async fn kafka_brokers() -> String {
    static OWN: OnceCell<(ScratchDir, Kafka)> = OnceCell::const_new();
    if let Ok(brokers) = env::var(KAFKA_BROKERS) {
        return brokers;
    }
    let start = async || {
        let dir = ScratchDir::create("kafka")?;
        let kafka = Kafka::start(&dir.path().join("kafka"), KafkaOptions::scratch()).await?;
        Ok((dir, kafka))
    };
    or_panic(OWN.get_or_try_init(start).await).1.brokers()
}

/// Creates an empty database with a unique name that begins with `prefix`. Returns its URL.
///
/// # Panics
///
/// If `PostgreSQL` refuses.
pub async fn create_database(prefix: &str) -> String {
    create_database_from("template1", prefix).await
}

/// Starts a proxy to a database of [`create_database`]. Returns it with the URL through it.
///
/// # Panics
///
/// If the URL names no host and port, or no port is free.
pub async fn fault_proxy(url: &str) -> (FaultProxy, String) {
    let server = url.split_once("://").map_or(url, |(_, rest)| rest);
    let server = server.split(['/', '?']).next().unwrap_or_default();
    let address = server.rsplit_once('@').map_or(server, |(_, address)| address);
    let proxy = FaultProxy::start(address.to_owned()).await;
    let proxy = proxy.unwrap_or_else(|error| panic!("a proxy before {address}: {error}"));
    let through = url.replacen(address, &proxy.address().to_string(), 1);
    (proxy, through)
}

/// Creates a copy of the database `template`, to which no session may be connected. Returns its URL.
///
/// # Panics
///
/// If `PostgreSQL` refuses.
pub async fn create_database_from(template: &str, prefix: &str) -> String {
    let url = database_url().await;
    let name = unique_name(prefix);
    let created = async {
        let mut connection = PgConnection::connect(&url).await?;
        let create = format!(r#"create database "{name}" template "{template}""#);
        sqlx::query(&create).execute(&mut connection).await?;
        connection.close().await
    };
    let action = format!("create the database {name} from {template}");
    or_panic(created.await.map_err(EmbeddedError::database(action)));
    with_database(&url, &name)
}

/// Drops a database of [`create_database`], ending all connections to it.
///
/// # Panics
///
/// If `PostgreSQL` refuses.
pub async fn drop_database(url: &str) {
    let name = database_name(url);
    let dropped = async {
        let mut connection = PgConnection::connect(&database_url().await).await?;
        let drop = format!(r#"drop database "{name}" with (force)"#);
        sqlx::query(&drop).execute(&mut connection).await?;
        connection.close().await
    };
    or_panic(dropped.await.map_err(EmbeddedError::database(format!("drop the database {name}"))));
}

/// Returns the name in a database's URL, as `create_database_from` takes it for `template`.
pub fn database_name(url: &str) -> &str {
    let path = url.split_once('?').map_or(url, |(before, _)| before);
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Creates a topic with a unique name that begins with `prefix`. Returns the name.
///
/// # Panics
///
/// If Kafka refuses.
pub async fn create_topic(prefix: &str, partitions: i32) -> String {
    let name = unique_name(prefix);
    or_panic(admin::create_topic(&kafka_brokers().await, &name, partitions).await);
    name
}

/// Deletes a topic of [`create_topic`] and waits until it is gone.
///
/// # Panics
///
/// If Kafka refuses.
pub async fn delete_topic(name: &str) {
    or_panic(admin::delete_topic(&kafka_brokers().await, name).await);
}

/// Returns a name with `prefix` that is unique among all tests of all processes and runs.
pub fn unique_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // A pid may be reused, but at a later time. A database's name may have 63 bytes.
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{prefix}-{seconds:x}-{}-{count}", std::process::id())
}

fn with_database(url: &str, name: &str) -> String {
    let (path, query) = url.split_once('?').map_or((url, ""), |(path, query)| (path, query));
    let server = path.rsplit_once('/').map_or(path, |(server, _)| server);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{server}/{name}{mark}{query}")
}

#[track_caller]
fn or_panic<T>(result: Result<T, EmbeddedError>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}
