//! `lane_offsets`: the offset up to which each lane has applied each source partition. Written in
//! the transaction of the batch, so that reading a record again changes nothing.

use std::collections::{HashMap, HashSet};

use plaudit_domain::lane::Lane;
use sqlx::PgConnection;

use crate::batch::SourcePosition;
use crate::purge;

/// The next offset of each lane and source partition: everything below it is applied.
pub type LaneOffsets = HashMap<(Lane, SourceKey), i64>;

/// A source partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceKey {
    pub topic: std::sync::Arc<str>,
    pub incarnation: i32,
    pub partition: i32,
}

impl From<&SourcePosition> for SourceKey {
    fn from(at: &SourcePosition) -> Self {
        Self { topic: at.topic.clone(), incarnation: at.incarnation, partition: at.partition }
    }
}

/// Loads the offsets of (lane, source partition) pairs.
pub async fn load(
    requested: &HashSet<(Lane, SourceKey)>,
    connection: &mut PgConnection,
) -> sqlx::Result<LaneOffsets> {
    if requested.is_empty() {
        return Ok(LaneOffsets::new());
    }
    let (mut in_lanes, mut topics, mut incarnations, mut partitions) =
        (vec![], vec![], vec![], vec![]);
    for (lane, key) in requested {
        in_lanes.push(lane.0);
        topics.push(key.topic.as_ref());
        incarnations.push(key.incarnation);
        partitions.push(key.partition);
    }
    let rows: Vec<(i16, String, i32, i32, i64)> =
        sqlx::query_as(include_str!("source_offsets/load.sql"))
            .bind(&in_lanes)
            .bind(&topics)
            .bind(&incarnations)
            .bind(&partitions)
            .fetch_all(connection)
            .await?;
    let row = |(lane, topic, incarnation, partition, next): (i16, String, i32, i32, i64)| {
        ((Lane(lane), SourceKey { topic: topic.into(), incarnation, partition }), next)
    };
    Ok(rows.into_iter().map(row).collect())
}

/// Moves the lanes' offsets of source partitions.
pub async fn advance(
    moved: &HashMap<(Lane, SourceKey), i64>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let mut moved: Vec<_> = moved.iter().collect();
    moved.sort();
    let lanes: Vec<i16> = moved.iter().map(|((lane, _), _)| lane.0).collect();
    let topics: Vec<&str> = moved.iter().map(|((_, key), _)| key.topic.as_ref()).collect();
    let incarnations: Vec<i32> = moved.iter().map(|((_, key), _)| key.incarnation).collect();
    let partitions: Vec<i32> = moved.iter().map(|((_, key), _)| key.partition).collect();
    let next: Vec<i64> = moved.iter().map(|(_, next)| **next).collect();
    sqlx::query(include_str!("source_offsets/advance.sql"))
        .bind(&lanes)
        .bind(&topics)
        .bind(&incarnations)
        .bind(&partitions)
        .bind(&next)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes offsets that a higher one has replaced. Does not conflict with batches, which only
/// insert.
pub async fn purge(pool: &sqlx::PgPool) -> sqlx::Result<()> {
    purge::delete_in_steps(pool, include_str!("source_offsets/purge.sql")).await
}
