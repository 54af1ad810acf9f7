//! Calls to the database that end: in time, or by closing their connection.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgConnection, PgPool, Postgres};

/// How long a call may take before its connection is closed. Well below [`crate::LEASE`], and the
/// statements of a follower take milliseconds.
pub const CALL_MAX: Duration = Duration::from_secs(3);

/// A connection that is closed when it is dropped, unless it is given back.
///
/// A call that failed, or whose future was dropped in the middle, leaves a connection in an unknown
/// state: perhaps its server will never answer again. The pool would wait for it.
pub struct BoundedConnection(Option<PoolConnection<Postgres>>);

impl BoundedConnection {
    /// Takes a connection from the pool.
    pub async fn acquire(pool: &PgPool) -> sqlx::Result<Self> {
        Ok(Self(Some(pool.acquire().await?)))
    }

    /// Gives the connection back to the pool. To be called when the last answer was read.
    ///
    /// The pool asks a returned connection whether it is alive, without a deadline of its own: one
    /// that has fallen silent would keep its place in the pool for ever.
    pub fn give_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            tokio::spawn(tokio::time::timeout(CALL_MAX, connection.return_to_pool()));
        }
    }
}

impl Deref for BoundedConnection {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.0.as_ref().expect("it is there until it is given back")
    }
}

impl DerefMut for BoundedConnection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.0.as_mut().expect("it is there until it is given back")
    }
}

impl Drop for BoundedConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// A pool of one connection to the same database: what must not wait for the requests and batches
/// that share the other pool.
pub(crate) fn reserved(pool: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CALL_MAX)
        .connect_lazy_with(pool.connect_options().as_ref().clone())
}

/// Awaits a call for at most `limit`. Use a [`BoundedConnection`] inside: it is closed if time runs out.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(no_answer(limit).into()))
}

/// The error of a call that missed its deadline.
fn no_answer(limit: Duration) -> sqlx::Error {
    let text = format!("the database gave no answer within {} s", limit.as_secs());
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, text))
}
