//! The history of changes of a task: time, author and reason.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::ids::TaskId;
use serde::{Deserialize, Serialize};
use sqlx::{PgPool, Row as _};

use crate::instant;

/// A change of a task in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChange {
    /// The change.
    pub change: TaskChangeKind,
    /// The version that was published; absent for other changes.
    pub version: Option<u32>,
    /// The time of the change.
    pub at: Timestamp,
    /// The author: the `sub` of a token, or a user of the operating system.
    pub by: String,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// The first instant of an amnesty; absent for other changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The end of an amnesty; absent for other changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskChangeKind {
    /// A version was published.
    Published,
    /// It was paused.
    Paused,
    /// It was resumed.
    Resumed,
    /// It was retired.
    Retired,
    /// An amnesty was declared for it.
    Amnesty,
}

/// Returns all changes of a task, oldest first. Older programs stored no author for changes of
/// status.
pub async fn changes_of(pool: &PgPool, task: &TaskId) -> sqlx::Result<Vec<TaskChange>> {
    let rows = sqlx::query(include_str!("changes.sql")).bind(task.as_str()).fetch_all(pool).await?;
    let change = |row: &sqlx::postgres::PgRow| {
        let at: DateTime<Utc> = row.try_get("at")?;
        let version: Option<i32> = row.try_get("version")?;
        let span_end = |column: &str| -> sqlx::Result<Option<Timestamp>> {
            Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(instant::from_sql))
        };
        Ok(TaskChange {
            change: match row.try_get("change")? {
                "paused" => TaskChangeKind::Paused,
                "active" => TaskChangeKind::Resumed,
                "retired" => TaskChangeKind::Retired,
                "amnesty" => TaskChangeKind::Amnesty,
                _ => TaskChangeKind::Published,
            },
            version: version.and_then(|version| u32::try_from(version).ok()),
            at: instant::from_sql(at),
            by: row.try_get("by")?,
            reason: row.try_get("reason")?,
            from: span_end("starts_at")?,
            until: span_end("ends_at")?,
        })
    };
    rows.iter().map(change).collect()
}
