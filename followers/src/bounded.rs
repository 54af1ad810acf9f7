//! Deadlines of calls to the database.

use std::time::Duration;

pub use plaudit_event_store::pool::within;
use sqlx::{Connection as _, PgConnection, PgTransaction};

/// Time limit for a call to the database; then its connection is closed. Well below
/// [`crate::LEASE`]; the statements of a follower take milliseconds.
pub const CALL_MAX: Duration = Duration::from_secs(3);

/// Begins a transaction that PostgreSQL ends if it hears nothing for [`CALL_MAX`].
///
/// A process that is frozen in the middle of a transaction keeps its row locks. The limit releases
/// them before its leases expire, so that the process that takes over its lanes need not wait.
///
/// # Errors
///
/// Errors of the driver.
pub async fn begin(connection: &mut PgConnection) -> sqlx::Result<PgTransaction<'_>> {
    let idle = CALL_MAX.as_millis();
    connection
        .begin_with(format!("begin; set local idle_in_transaction_session_timeout = {idle}"))
        .await
}
