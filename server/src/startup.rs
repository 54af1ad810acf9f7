//! Connects to the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_domain::lane::LaneCount;
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::schema::SchemaError;
use plaudit_event_store::{Executor, pool, schema};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::config::Config;
use crate::failure::Failure;
use crate::output::errln;

/// Connects to the database. Tries for `database.startup_timeout`; then the error names host and
/// port.
pub async fn database(config: &Config) -> Result<PgPool, Failure> {
    answering(config, pool::connect).await
}

async fn answering(
    config: &Config,
    connect: impl FnOnce(&str, u32) -> Result<PgPool, SchemaError>,
) -> Result<PgPool, Failure> {
    let url = config.require("database.url")?;
    let pool = connect(url, readers_max(config)?)?;
    let options = pool::connect_options(url)?;
    let deadline = Instant::now() + config.duration("database.startup_timeout");
    let mut reported = false;
    loop {
        match connection_attempt(&options).await {
            Ok(()) => {
                refuse_shared_sessions(&options, url).await?;
                return Ok(pool);
            }
            Err(error) if Instant::now() >= deadline || !can_wait_for(&error) => {
                return Err(Failure::new(format!(
                    "the database at {} does not answer: {error}; is it running, and is `database.url` right?",
                    address(url)
                )));
            }
            Err(error) => {
                if !reported {
                    report_waiting(
                        &address(url),
                        &error,
                        config.duration("database.startup_timeout"),
                    );
                    reported = true;
                }
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

/// Reports the wait at once, in the log if there is one: half a minute of silence looks like a
/// hang.
fn report_waiting(address: &str, error: &sqlx::Error, timeout: Duration) {
    let seconds = timeout.as_secs();
    if tracing::dispatcher::has_been_set() {
        tracing::warn!(%error, "the database at {address} does not answer yet: {error}; trying for {seconds} s");
    } else {
        errln!(
            "plaudit: the database at {address} does not answer yet: {error}; trying for {seconds} s"
        );
    }
}

/// Makes one attempt, outside of the pool, so that the error is the database's own.
async fn connection_attempt(options: &PgConnectOptions) -> sqlx::Result<()> {
    use sqlx::Connection;
    let attempt = sqlx::PgConnection::connect_with(options);
    let slow = || {
        sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer within 5 s"))
    };
    tokio::time::timeout(Duration::from_secs(5), attempt).await.map_err(|_| slow())??.close().await
}

/// Fails behind a pooler that shares one database session among several connections, as `PgBouncer`
/// does with `pool_mode = transaction` or `statement`: settings, prepared statements and locks would
/// belong to another connection.
async fn refuse_shared_sessions(options: &PgConnectOptions, url: &str) -> Result<(), Failure> {
    use sqlx::Connection;
    let asked = async {
        let mut first = sqlx::PgConnection::connect_with(options).await?;
        let pid = backend_pid(&mut first).await?;
        let mut second = sqlx::PgConnection::connect_with(options).await?;
        // The transaction keeps a pooler from giving the session back in between.
        sqlx::raw_sql("begin").execute(&mut second).await?;
        let is_shared =
            backend_pid(&mut second).await? == pid || backend_pid(&mut first).await? != pid;
        sqlx::raw_sql("rollback").execute(&mut second).await?;
        first.close().await?;
        second.close().await?;
        Ok::<_, sqlx::Error>(is_shared)
    };
    let is_shared = match tokio::time::timeout(Duration::from_secs(5), asked).await {
        Ok(Ok(is_shared)) => is_shared,
        Ok(Err(error)) if refuses_transactions(&error) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "whether a pooler shares sessions could not be checked: {error}");
            false
        }
        Err(_) => {
            tracing::warn!("whether a pooler shares sessions could not be checked within 5 s");
            false
        }
    };
    if !is_shared {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the database at {} is behind a pooler that shares its sessions, such as PgBouncer with `pool_mode = transaction` \
         or `pool_mode = statement`; set `pool_mode = session`, or connect to PostgreSQL itself",
        address(url)
    )))
}

/// Returns true for the error of a pooler with one session per statement, which ends a connection
/// that begins a transaction.
///
/// # Source
///
/// `PgBouncer` 1.24, `disconnect_client`: its own errors have the code 08P01, protocol violation.
/// PostgreSQL never answers one of these statements with it.
fn refuses_transactions(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(db) if db.code().as_deref() == Some("08P01"))
}

/// Uses the simple protocol: a prepared statement would not survive such a pooler.
async fn backend_pid(connection: &mut sqlx::PgConnection) -> sqlx::Result<i32> {
    use sqlx::Executor as _;
    use sqlx::Row as _;
    connection.fetch_one(sqlx::raw_sql("select pg_backend_pid()")).await?.try_get(0)
}

/// Returns true if the database may answer later: a wrong password, name or certificate stays
/// wrong.
fn can_wait_for(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(db) => {
            db.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("53"))
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => false,
        // The certificate was refused.
        sqlx::Error::Io(io) => io.kind() != std::io::ErrorKind::InvalidData,
        _ => true,
    }
}

/// Host, port and database of an address, without user and password.
fn address(url: &str) -> String {
    use std::str::FromStr;
    match sqlx::postgres::PgConnectOptions::from_str(url) {
        Ok(options) => format!(
            "{}:{}/{}",
            options.get_host(),
            options.get_port(),
            options.get_database().unwrap_or("")
        ),
        Err(_) => "an invalid address".to_owned(),
    }
}

/// Connects to a database and checks that it has the schema of this program.
pub async fn checked_database(config: &Config) -> Result<(PgPool, LaneCount), Failure> {
    checked(database(config).await?).await
}

/// As [`checked_database`], for a server: the statements of task screens, followers and senders all
/// look up keys, and the pool is set up for that.
pub async fn serving_database(config: &Config) -> Result<(PgPool, LaneCount), Failure> {
    checked(answering(config, pool::connect_probing).await?).await
}

async fn checked(pool: PgPool) -> Result<(PgPool, LaneCount), Failure> {
    let lane_count = answer(schema::check(&pool)).await?;
    Ok((pool, lane_count))
}

/// The database did not answer a command within this time.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database did not answer within {} s; is the network to the host of `database.url` in order, and does no \
     session hold a lane for long (`/readyz` names such lanes)? What was asked for may have been done, so look before \
     you repeat it",
    .0.as_secs_f32()
)]
pub struct NoAnswer(Duration);

/// Waits for an answer of the database to a command or a starting process. A connection that has
/// fallen silent must not keep an operator waiting for ever.
pub async fn answer<T, E>(asked: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    Ok(answer_within(pool::ANSWER_MAX, asked).await??)
}

/// Waits at most `limit`, for commands that report an error of their own. The inner result is the
/// answer.
pub async fn answer_within<T>(
    limit: Duration,
    asked: impl Future<Output = T>,
) -> Result<T, NoAnswer> {
    tokio::time::timeout(limit, asked).await.map_err(|_| NoAnswer(limit))
}

/// Connections for writing besides those of the workers: for batches of delivery and of operators.
const OTHER_WRITERS: u32 = 2;

/// Makes the pool for writing, separate from those for reading.
pub fn writers(config: &Config, workers: u32) -> Result<PgPool, Failure> {
    let url = config.require("database.url")?;
    Ok(pool::connect(url, workers + OTHER_WRITERS)?)
}

/// Number of connections for reading, of `database.connections_max`.
pub fn readers_max(config: &Config) -> Result<u32, Failure> {
    let (all, workers) =
        (config.number("database.connections_max"), config.number("ingest.workers"));
    let reserved = workers + OTHER_WRITERS;
    all.checked_sub(reserved).filter(|left| *left >= READERS_MIN).ok_or_else(|| {
        let needed = reserved + READERS_MIN;
        Failure::new(format!(
            "`database.connections_max` is {all}; with `ingest.workers` = {workers} at least {needed} are needed: {reserved} for writing, {READERS_MIN} for reading"
        ))
    })
}

/// Minimum number of connections for reading, so that each kind of reader has its own.
pub const READERS_MIN: u32 = 5;

/// The executor of batches.
pub fn executor(
    pool: &PgPool,
    lane_count: LaneCount,
    catalogue: &Arc<CatalogueStore>,
) -> Arc<Executor> {
    let projections: Vec<Arc<dyn plaudit_event_store::BatchProjection>> = vec![];
    Arc::new(Executor::new(pool.clone(), lane_count, Arc::clone(catalogue), projections))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_falls_silent_ends_a_command() {
        let silent = std::future::pending::<Result<(), sqlx::Error>>();
        let failure = answer_within(Duration::from_millis(10), silent).await.unwrap_err();
        let failure = failure.to_string();
        assert!(failure.contains("did not answer within 0.01 s"), "{failure}");
        assert!(failure.contains("`database.url`"), "{failure}");
        assert_eq!(answer(async { Ok::<_, sqlx::Error>(1) }).await.unwrap(), 1);
    }
}
