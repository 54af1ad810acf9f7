//! `user_digests`: the digest of each user's last event that was covered.

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

/// Reads the digests of users: each with the sequence of its last event, and the bytes.
pub async fn load(
    lane: Lane,
    users: &[&str],
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<(String, i64, Vec<u8>)>> {
    sqlx::query_as(include_str!("stored/load.sql"))
        .bind(lane.0)
        .bind(users)
        .fetch_all(connection)
        .await
}

/// Stores the digests of users, each with the sequence of its last event.
pub async fn save(
    lane: Lane,
    users: &[&str],
    sequences: &[i64],
    digests: &[Vec<u8>],
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    sqlx::query(include_str!("stored/upsert.sql"))
        .bind(lane.0)
        .bind(users)
        .bind(sequences)
        .bind(digests)
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the users with a digest after this one, in order, at most `limit`.
pub async fn users_after(
    lane: Lane,
    after: &str,
    limit: i64,
    connection: &mut PgConnection,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(include_str!("stored/users_after.sql"))
        .bind(lane.0)
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await
}
