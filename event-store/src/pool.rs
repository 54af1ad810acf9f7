//! Connections to PostgreSQL: their settings and deadlines.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgPool, Postgres};

use crate::schema_error::SchemaError;

/// The settings of every connection. They are set after connecting, so that they also work through
/// `PgBouncer` in session mode.
///
/// The server ends a session within about 15 s if its process is stopped while it holds lanes, or
/// if the network has lost the process. It ends the statement of a closed connection within about
/// 2 s, so that requests that were given up don't pile up in PostgreSQL.
const SETTINGS: &str = "
    set jit = off;
    set lock_timeout = '5s';
    set idle_in_transaction_session_timeout = '15s';
    set tcp_keepalives_idle = 10;
    set tcp_keepalives_interval = 5;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = '20s';
    set client_connection_check_interval = '2s'";

/// Planner settings for statements with arrays of unknown length: probing the key is right for
/// every length, and a plan made once is right for every batch (`docs/decisions/0031`).
macro_rules! probing {
    ($set:literal) => {
        concat!(
            $set,
            " enable_seqscan = off; ",
            $set,
            " enable_hashjoin = off; ",
            $set,
            " enable_mergejoin = off; ",
            $set,
            " plan_cache_mode = force_generic_plan"
        )
    };
}

/// Begins a transaction whose statements probe keys, in one round trip. For `begin_with`.
pub const BEGIN_PROBING: &str = concat!("begin; ", probing!("set local"));

/// The planner settings for a pool whose statements all probe keys.
const PROBING: &str = probing!("set");

/// The settings of a pool for requests. A request is answered within seconds, so a statement that
/// runs for longer has no reader.
const REQUESTS: &str = concat!(probing!("set"), "; set statement_timeout = '30s'");

/// The `lock_timeout` of [`SETTINGS`], for transactions that change it for a while.
pub(crate) const LOCK_TIMEOUT: &str = "5s";

/// Time limit for getting a connection from the pool.
const ACQUIRE_MAX: Duration = Duration::from_secs(3);

/// Idle time after which a connection is tested before use.
const RESTED: Duration = Duration::from_millis(500);

/// Time limit for this test, and for setting up a connection.
const PING_MAX: Duration = Duration::from_secs(2);

/// Time limit for an answer that only a command or the start of a process waits for.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The database URL parameters that the driver knows.
///
/// Source: sqlx 0.8, `PgConnectOptions`. The driver only logs unknown ones, so a mistyped
/// `sslmod=require` would go unnoticed.
const URL_PARAMETERS: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Opens a pool of at most `connections_max` connections, without waiting for the database.
/// Statements are planned with PostgreSQL's defaults; a batch changes that for its transaction.
///
/// # Errors
///
/// [`SchemaError::Url`] if the URL or one of its parameters is not valid.
pub fn connect(url: &str, connections_max: u32) -> Result<PgPool, SchemaError> {
    Ok(options(connections_max, None).connect_lazy_with(connect_options(url)?))
}

/// Like [`connect`], for short statements without a transaction that probe keys, such as those of
/// task screens and followers.
///
/// # Errors
///
/// As for [`connect`].
pub fn connect_probing(url: &str, connections_max: u32) -> Result<PgPool, SchemaError> {
    Ok(options(connections_max, Some(PROBING)).connect_lazy_with(connect_options(url)?))
}

fn options(connections_max: u32, planning: Option<&'static str>) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_MAX)
        // A connection used a moment ago is assumed alive: testing each time would double the round
        // trips of a read. An idle one is tested, so that a restarted database is noticed.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for <= RESTED {
                    return Ok(true);
                }
                // `false`, like an error, closes the connection instead of handing it out.
                Ok(matches!(tokio::time::timeout(PING_MAX, connection.ping()).await, Ok(Ok(()))))
            })
        })
        // The pool pings a returned connection without a deadline. After a frozen network it would
        // wait for ever, and the connection would keep its place in the pool.
        .after_release(|connection, _| {
            Box::pin(async move { within(PING_MAX, connection.ping()).await.map(|()| true) })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                let settings = format!("{SETTINGS}; {}", planning.unwrap_or_default());
                let set = connection.execute(sqlx::raw_sql(&settings));
                within(PING_MAX, set).await.map(drop)
            })
        })
}

/// A small pool to the same database with the same settings, for work that must not compete for
/// connections with the requests and batches that share `pool`.
pub fn reserved(pool: &PgPool, connections: u32) -> PgPool {
    let options = pool.options().clone().max_connections(connections);
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// Like [`reserved_probing`], for requests of clients and operators: PostgreSQL ends each statement
/// after 30 s.
pub fn reserved_for_requests(pool: &PgPool, connections: u32) -> PgPool {
    options(connections, Some(REQUESTS)).connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// Like [`reserved`], for statements that probe keys, whatever the settings of `pool`.
pub fn reserved_probing(pool: &PgPool, connections: u32) -> PgPool {
    options(connections, Some(PROBING)).connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// Like [`reserved_probing`], with its own name in `pg_stat_activity`, at most 63 bytes long.
pub fn reserved_probing_as(name: &str, pool: &PgPool, connections: u32) -> PgPool {
    let named = pool.connect_options().as_ref().clone().application_name(name);
    options(connections, Some(PROBING)).connect_lazy_with(named)
}

/// Parses the options of a database URL.
///
/// # Errors
///
/// [`SchemaError::Url`], which names the unknown parameter.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, SchemaError> {
    let refused = |reason: String| SchemaError::Url(sqlx::Error::Configuration(reason.into()));
    // The driver accepts any scheme, and would retry an invalid address for long.
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(refused("it begins with neither postgres:// nor postgresql://".to_owned()));
    }
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    let names = parameters.split('&').filter_map(|p| p.split('=').next()).filter(|n| !n.is_empty());
    for name in names {
        if !URL_PARAMETERS.contains(&name) && !name.starts_with("options[") {
            let known = URL_PARAMETERS.join(", ");
            return Err(refused(format!("unknown parameter `{name}`; known are {known}")));
        }
    }
    let options = PgConnectOptions::from_str(url).map_err(SchemaError::Url)?;
    // `PgBouncer` with default settings refuses this as a connection parameter. Since PostgreSQL 12
    // the default writes every digit anyway.
    Ok(options.application_name("plaudit").extra_float_digits(None))
}

/// Waits for an answer of the database, at most `limit`.
///
/// # Errors
///
/// An I/O error of the kind `TimedOut`. The answer is then still outstanding: close the connection.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(no_answer(limit).into()))
}

/// A pool with a deadline for every call, for tasks that run as long as their process: without it,
/// one silent connection would stop such a task for ever. The pool is accessible only inside a
/// call.
#[derive(Debug, Clone)]
pub struct Deadlined {
    pool: PgPool,
    limit: Duration,
}

impl Deadlined {
    /// Makes calls over `pool` that take at most `limit` each, including the wait for a connection.
    pub fn new(pool: &PgPool, limit: Duration) -> Self {
        Self { pool: pool.clone(), limit }
    }

    /// Makes one call of any number of statements. On timeout the call is dropped; the pool then
    /// tests its connection, and closes a silent one instead of reusing it.
    ///
    /// # Errors
    ///
    /// Those of `call`, and an I/O error of the kind `TimedOut`.
    pub async fn call<T, E, F>(&self, call: impl FnOnce(PgPool) -> F) -> Result<T, E>
    where
        E: From<sqlx::Error>,
        F: Future<Output = Result<T, E>>,
    {
        within(self.limit, call(self.pool.clone())).await
    }
}

/// The error of a database that did not answer in time.
pub fn no_answer(limit: Duration) -> sqlx::Error {
    let text = format!("no answer within {} s", limit.as_secs_f32());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
}

/// A connection that is closed on drop, unless [`Self::give_back`] is called. A caller that is
/// cancelled or times out in the middle of a statement leaves a connection that nobody should wait
/// for.
#[derive(Debug)]
pub struct Borrowed(Option<PoolConnection<Postgres>>);

impl Borrowed {
    /// Takes a connection out of the pool.
    pub async fn from(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// Returns the connection to the pool. It must be idle and outside of a transaction.
    ///
    /// The pool pings it without a deadline of its own, so a silent connection would keep its place
    /// for ever; hence the timeout.
    pub fn give_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            tokio::spawn(tokio::time::timeout(PING_MAX, connection.return_to_pool()));
        }
    }
}

impl std::ops::Deref for Borrowed {
    type Target = PoolConnection<Postgres>;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is given back")
    }
}

impl std::ops::DerefMut for Borrowed {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.0.as_mut().expect("it is there until it is given back")
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            // A detached connection closes its socket on drop, and frees its place in the pool at
            // once.
            drop(connection.detach());
        }
    }
}
