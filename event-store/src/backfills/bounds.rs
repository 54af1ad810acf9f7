//! The boundary between past and live: the offset that each lane had applied of each partition when
//! it first saw a task.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use plaudit_domain::ids::TaskId;
use plaudit_domain::lane::Lane;
use sqlx::{PgConnection, PgPool};

use crate::source_offsets::SourceKey;

/// Offset below which a lane had applied a source partition before a task was published. Absent if
/// the lane had applied nothing of it.
pub(crate) type Bounds = HashMap<(Lane, TaskId, SourceKey), i64>;

/// Stores the boundary of these tasks in these lanes where none is stored yet. The caller holds the
/// lanes and has not yet stored the offsets of its own batch.
pub(crate) async fn settle<'t>(
    lanes: &[Lane],
    tasks: impl Iterator<Item = &'t TaskId>,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    let lanes: Vec<i16> = lanes.iter().map(|lane| lane.0).collect();
    let tasks: Vec<&str> = tasks.map(TaskId::as_str).collect();
    for sql in [include_str!("settle_bounds.sql"), include_str!("settle_lanes.sql")] {
        sqlx::query(sql).bind(&lanes).bind(&tasks).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Loads the stored boundaries.
pub(crate) async fn load(
    requested: &BTreeSet<(Lane, TaskId)>,
    connection: &mut PgConnection,
) -> sqlx::Result<Bounds> {
    let rows: Vec<(i16, String, String, i32, i32, i64)> =
        sqlx::query_as(include_str!("bounds.sql"))
            .bind(requested.iter().map(|(lane, _)| lane.0).collect::<Vec<_>>())
            .bind(requested.iter().map(|(_, task)| task.as_str()).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
    let bound = |(lane, task, topic, incarnation, partition, next): (
        i16,
        String,
        String,
        i32,
        i32,
        i64,
    )| {
        let key = SourceKey { topic: topic.into(), incarnation, partition };
        Some(((Lane(lane), TaskId::try_from(task).ok()?, key), next))
    };
    Ok(rows.into_iter().filter_map(bound).collect())
}

/// Returns the lanes that have no boundary for a task yet.
pub async fn unsettled_lanes(pool: &PgPool, task: &TaskId) -> sqlx::Result<Vec<Lane>> {
    let lanes: Vec<i16> = sqlx::query_scalar(include_str!("lanes_without_bounds.sql"))
        .bind(task.as_str())
        .fetch_all(pool)
        .await?;
    Ok(lanes.into_iter().map(Lane).collect())
}

/// A partition of a topic, in an incarnation of the topic.
pub type PartitionKey = (String, i32, i32);

/// Returns the end of each source partition for a task: the highest boundary of any lane, and the
/// first offset not to read.
pub async fn ends(pool: &PgPool, task: &TaskId) -> sqlx::Result<BTreeMap<PartitionKey, i64>> {
    let rows: Vec<(String, i32, i32, i64)> = sqlx::query_as(include_str!("applied_offsets.sql"))
        .bind(task.as_str())
        .fetch_all(pool)
        .await?;
    Ok(rows
        .into_iter()
        .map(|(topic, inc, partition, end)| ((topic, inc, partition), end))
        .collect())
}
