//! Connections to PostgreSQL: how they are set up, and how they are given up.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgPool, Postgres};

use crate::schema::SchemaError;

/// The settings of every connection, set after connecting, so that they also hold through `PgBouncer` in session
/// mode.
///
/// A process that is stopped while it holds lanes is thrown out by the server after 15 s, and so is one that its
/// network has lost.
const SETTINGS: &str = "
    set jit = off;
    set lock_timeout = '5s';
    set idle_in_transaction_session_timeout = '15s';
    set tcp_keepalives_idle = 10;
    set tcp_keepalives_interval = 5;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = '20s'";

/// The switches of the planner for statements that come with arrays whose length it does not know: probing the
/// key is right for every length, and a plan made once is right for every batch (`docs/decisions/0031`).
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

/// Begins a transaction whose statements probe keys, in one round trip: for `begin_with`.
pub const BEGIN_PROBING: &str = concat!("begin; ", probing!("set local"));

/// The switches for a pool whose statements all probe keys.
const PROBING: &str = probing!("set");

/// How long a caller waits for a connection of the pool.
const ACQUIRE_MAX: Duration = Duration::from_secs(3);

/// How long a connection may rest before it is asked whether it is still there.
const RESTED: Duration = Duration::from_millis(500);

/// How long that may take, and setting a connection up.
const PING_MAX: Duration = Duration::from_secs(2);

/// How long an answer may take that nobody waits for but a command, or the start of a process.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The parameters of a database URL that the driver knows.
///
/// Source: sqlx 0.8, `PgConnectOptions`. It only logs the others, and `sslmod=require` would not be noticed.
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

/// Opens a pool of at most `connections_max` connections. Does not wait for the database to be there. Statements
/// are planned as PostgreSQL does by default; a batch switches that for its transaction.
///
/// # Errors
///
/// [`SchemaError::Url`] if the address, or a parameter of it, is not one.
pub fn connect(url: &str, connections_max: u32) -> Result<PgPool, SchemaError> {
    Ok(options(connections_max, None).connect_lazy_with(connect_options(url)?))
}

/// As [`connect`], for short statements without a transaction, such as those of task screens and followers: each
/// of them probes keys.
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
        // A connection that was used a moment ago is there; asking each time would double the round
        // trips of a read. One that rested is asked, so that a restarted database is noticed.
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
        // The pool asks a connection that comes back whether it is well, and would wait for the answer for
        // ever: one whose reader gave up because of a frozen network would keep its place.
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

/// A small pool to the same database, set up in the same way: for work that must not wait for the
/// requests and batches that share `pool`, nor they for it.
pub fn reserved(pool: &PgPool, connections: u32) -> PgPool {
    let options = pool.options().clone().max_connections(connections);
    options.connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// As [`reserved`], for statements that probe keys, whatever `pool` is for.
pub fn reserved_probing(pool: &PgPool, connections: u32) -> PgPool {
    options(connections, Some(PROBING)).connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// As [`reserved_probing`], with sessions that `pg_stat_activity` shows under a name of their own, of 63 bytes at
/// most.
pub fn reserved_probing_as(name: &str, pool: &PgPool, connections: u32) -> PgPool {
    let named = pool.connect_options().as_ref().clone().application_name(name);
    options(connections, Some(PROBING)).connect_lazy_with(named)
}

/// The options that an address names.
///
/// # Errors
///
/// [`SchemaError::Url`], which names a parameter that is not known.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, SchemaError> {
    let refused = |reason: String| SchemaError::Url(sqlx::Error::Configuration(reason.into()));
    // The driver takes any scheme, and would try for long what can't be right.
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
    // As a parameter of the connection, `PgBouncer` with its stock settings refuses it. Since PostgreSQL 12 its
    // default writes every digit anyway.
    Ok(options.application_name("plaudit").extra_float_digits(None))
}

/// Waits for an answer of the database, at most so long.
///
/// # Errors
///
/// An I/O error of the kind `TimedOut`. The connection has an answer outstanding then: close it.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(no_answer(limit).into()))
}

/// A pool whose every call has a deadline, for tasks that run as long as their process: one connection that
/// falls silent would stop such a task for ever. It does not hand out the pool but for a call.
#[derive(Debug, Clone)]
pub struct Deadlined {
    pool: PgPool,
    limit: Duration,
}

impl Deadlined {
    /// Calls over `pool` that take at most `limit` each, waiting for a connection included.
    pub fn new(pool: &PgPool, limit: Duration) -> Self {
        Self { pool: pool.clone(), limit }
    }

    /// Makes one call, of any number of statements. One that runs out of time is dropped. The pool then asks its
    /// connection whether it is well, and closes a silent one instead of handing it out again.
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

/// A connection that is closed, not returned, unless [`Self::give_back`] is called: whoever is dropped
/// or out of time in the middle of a statement leaves a connection that nobody should wait for.
#[derive(Debug)]
pub struct Borrowed(Option<PoolConnection<Postgres>>);

impl Borrowed {
    /// Takes a connection out of the pool.
    pub async fn from(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// Returns the connection to the pool: it is idle and outside of a transaction.
    ///
    /// The pool asks it once more whether it is alive, without a deadline of its own: a connection that
    /// has fallen silent would keep its place in the pool for ever.
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
            // Dropping what is detached closes the socket, and frees the place in the pool at once.
            drop(connection.detach());
        }
    }
}
