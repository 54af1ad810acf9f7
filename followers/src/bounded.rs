//! Deadlines of calls to the database.

use std::time::Duration;

use plaudit_event_store::pool;

/// How long a call may take before its connection is closed. Well below [`crate::LEASE`], and the
/// statements of a follower take milliseconds.
pub const CALL_MAX: Duration = Duration::from_secs(3);

/// Awaits a call for at most `limit`. Use a [`pool::Borrowed`] connection inside: it is closed, and
/// never given back to the pool, if time runs out.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(pool::no_answer(limit).into()))
}
