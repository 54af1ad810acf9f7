//! The row of `catalogue`: the revision, and an identity that changes with everything that batches
//! decide by. Each batch reads the identity, and reloads the catalogue if it is another one.

use sqlx::PgConnection;
use uuid::Uuid;

/// Locks the catalogue until the transaction ends, so that its changes wait for each other. Batches
/// only read the row and do not wait.
pub async fn lock(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select revision from catalogue for update").execute(connection).await?;
    Ok(())
}

/// Raises the revision, for a change that everybody sees, and renews the identity. Returns the new
/// revision.
pub async fn raise(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let sql = "update catalogue set revision = revision + 1, identity = gen_random_uuid() returning revision";
    sqlx::query_scalar(sql).fetch_one(connection).await
}

/// Renews the identity alone, so that every process reloads the catalogue, and with it the list of
/// open backfills.
pub async fn renew(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("update catalogue set identity = gen_random_uuid()").execute(connection).await?;
    Ok(())
}

/// Reads the identity.
pub async fn identity(connection: &mut PgConnection) -> sqlx::Result<Uuid> {
    sqlx::query_scalar("select identity from catalogue").fetch_one(connection).await
}
