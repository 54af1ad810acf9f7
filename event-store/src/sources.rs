//! The stored state of source topics: their incarnation, and the offset below which everything is
//! applied.

use std::collections::HashMap;

use sqlx::PgPool;

/// Returns the number of times a topic was recreated and accepted again; 0 if never.
pub async fn incarnation(pool: &PgPool, topic: &str) -> sqlx::Result<i32> {
    let found = sqlx::query_scalar("select incarnation from source_topics where topic = $1");
    Ok(found.bind(topic).fetch_optional(pool).await?.unwrap_or(0))
}

/// Begins a new incarnation of a topic, whose records count as new whatever their offsets. Returns
/// its number.
pub async fn accept_new_topic(pool: &PgPool, topic: &str) -> sqlx::Result<i32> {
    let accept = sqlx::query_scalar(include_str!("sources/add_topic.sql"));
    accept.bind(topic).fetch_one(pool).await
}

/// The stored state of one source partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Known {
    /// The offset below which all lanes have applied everything.
    pub applied: i64,
    /// The highest next offset of any lane, which shows how far the topic once reached.
    pub read: i64,
}

/// Loads the stored state of a topic's partitions in one incarnation.
pub async fn known(
    pool: &PgPool,
    topic: &str,
    incarnation: i32,
) -> sqlx::Result<HashMap<i32, Known>> {
    let rows: Vec<(i32, i64, i64)> = sqlx::query_as(include_str!("sources/partitions.sql"))
        .bind(topic)
        .bind(incarnation)
        .fetch_all(pool)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, applied, read)| (partition, Known { applied, read }))
        .collect())
}

/// Stores that all lanes have applied everything below these offsets.
pub async fn note_applied(
    pool: &PgPool,
    topic: &str,
    incarnation: i32,
    next_offsets: impl IntoIterator<Item = (i32, i64)>,
) -> sqlx::Result<()> {
    let mut sorted: Vec<(i32, i64)> = next_offsets.into_iter().collect();
    sorted.sort_unstable();
    let (partitions, next): (Vec<i32>, Vec<i64>) = sorted.into_iter().unzip();
    sqlx::query(include_str!("sources/note_applied.sql"))
        .bind(topic)
        .bind(incarnation)
        .bind(&partitions)
        .bind(&next)
        .execute(pool)
        .await?;
    Ok(())
}
